"""Words that mean the same, for making training claims; in the form of ``detectors.text.opposites``."""

from __future__ import annotations

from typing import Final

from detectors.text.opposites import pair_table

_EQUAL_VERBS: Final = """
start/commence start/launch finish/complete purchase/acquire request/demand obtain/receive reveal/disclose
assist/support state/declare announce/declare happen/occur end/finish need/require permit/allow inform/notify
attempt/seek decrease/reduce gather/collect select/pick repair/mend verify/check contact/reach remain/stay
mention/note study/examine create/produce employ/hire deliver/ship use/apply explain/describe terminate/cancel
return/hand_back replace/exchange enter/access display/show last/continue locate/place name/call kill/murder
perish/die attack/assault injure/wound select/appoint reject/decline
"""
_EQUALS: Final = """
began/started bought/purchased big/large small/little kids/children movie/film car/vehicle job/position
company/firm roughly/about approximately/about around/about nearly/almost near/close_to fast/quickly also/too
rapid/quick begin/start buy/purchase get/receive help/assist said/stated told/informed made/produced built/constructed
free_of_charge/at_no_cost free/without_charge fee/charge cost/price illness/disease doctor/physician lawyer/attorney
pupils/students yearly/annual every_year/annually each_year/every_year per_year/a_year per_month/monthly
every_day/daily each_week/weekly twelve_months/one_year two_weeks/14_days a_week/seven_days 24_hours/one_day
prior_to/before in_advance/beforehand after/following because/since must/have_to must/need_to can/may
is_able_to/can is_allowed_to/may is_not_allowed_to/may_not cannot/can't do_not/don't is_not/isn't are_not/aren't
sickness/illness holiday/vacation shop/store flat/apartment autumn/fall film/movie mobile/cell_phone
phone/telephone tv/television photo/picture photos/pictures US/United_States UK/Britain percent/% and/as_well_as
but/however several/a_number_of many/numerous most_of/the_majority_of leader/head boss/manager staff/employees
workers/employees city/town accident/crash war/conflict talks/negotiations deal/agreement contract/agreement
money/funds aid/help house/home road/street plane/aircraft ship/vessel error/mistake fault/defect issue/problem
customers/clients users/people passport/travel_document warranty/guarantee refund/money_back invoice/bill
deadline/time_limit maximum/at_most minimum/at_least only/just whole/entire important/key large/major main/primary
famous/well-known clever/smart hard/difficult easy/simple often/frequently rarely/seldom quickly/swiftly
unhappy/dissatisfied glad/pleased dead/deceased ill/sick tablet/pill dose/amount drug/medicine
"""

EQUALS: Final = pair_table(_EQUAL_VERBS, _EQUALS)
