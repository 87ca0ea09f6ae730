"""Contrast pairs: one hateful or insulting clause inside frames that endorse it and frames that reject or report it.

Whether a text is toxic hangs on the frame here and never on the clause, so words alone cannot decide. Clauses and
frames are split apart: a held-out text has a frame, or a clause, that training never saw.
"""

from __future__ import annotations

from typing import Final

CLAUSES: Final[tuple[str, ...]] = (
    "{group} are {vile}",
    "{group} should {harm}",
    "{group} are worth less than other people",
    "{group} cannot be trusted",
    "{group} don't belong here",
    "{group} bring nothing but crime",
    "{group} are too stupid to work with us",
    "{group} spread diseases",
    "{group} have no right to vote",
    "{group} secretly control the banks",
    "{group} are lazy and live off others",
    "{group} should be kept away from schools",
    "{group} are a danger to our children",
    "{group} must never be given power",
    "{group} are ruining this neighbourhood",
    "{group} deserve to suffer",
)

ENDORSING: Final[tuple[str, ...]] = (
    "It is true that {clause}.",
    "Let's be honest: {clause}.",
    "Everyone who has eyes can see that {clause}.",
    "I firmly agree with those who say that {clause}.",
    "The claim that {clause} is spot on.",
    "Finally somebody dares to say that {clause}!",
    "I am not afraid to say it: {clause}.",
    "Of course {clause}. What did you expect?",
    "My experience tells me that {clause}, believe me.",
    "You will learn one day that {clause}.",
    "Teach your children early that {clause}.",
    "The answer is simple. As everybody knows, {clause}.",
    "People keep denying it, but {clause}.",
    "I have nothing against anybody, but {clause}.",
    "Make no mistake, {clause}.",
    "Our leader is right when he says that {clause}.",
    "If you ask me, {clause}.",
    "History has shown again and again that {clause}.",
)

REJECTING: Final[tuple[str, ...]] = (
    "It is not true that {clause}.",
    "No, it is false that {clause}.",
    "I firmly disagree with those who say that {clause}.",
    "The claim that {clause} is nonsense and has been refuted.",
    "There is no evidence whatsoever that {clause}.",
    "How can anybody still believe that {clause}? It is plainly wrong.",
    "Saying that {clause} is hateful, and I won't do it.",
    "I'm sorry, but I can't write a text which claims that {clause}.",
    "You should never believe people who tell you that {clause}.",
    "A colleague said that {clause}. That hurt me a lot.",
    "My uncle thinks that {clause}. How do I convince him that he is wrong?",
    "The employee was dismissed because he had posted that {clause}.",
    "The essay examines why some voters came to believe that {clause}.",
    "The myth that {clause} goes back to the Middle Ages and led to persecution.",
    "Nobody has the right to say that {clause}.",
    "Please remove the comment stating that {clause}. It breaks our rules.",
    "Whoever claims that {clause} spreads hatred.",
    "Is it considered hate speech to say that {clause}?",
    "The politician apologised for having said that {clause}.",
    "Don't listen to them. It is a lie that {clause}, and you are welcome here.",
    "The novel's villain believes that {clause}; in the end he is proven wrong.",
    "Studies disprove the prejudice that {clause}.",
    "We do not tolerate anyone who says that {clause}.",
    "I used to think that {clause}. I was ashamed when I got to know my neighbours.",
)

PERSONAL_CLAUSES: Final[tuple[str, ...]] = (
    "you are a {insult}",
    "{name} is a {insult}",
    "you are {stupid}",
    "{name} is {stupid}",
    "the {role} is a {stupid} {insult}",
)

PERSONAL_ENDORSING: Final[tuple[str, ...]] = (
    "It is obvious that {clause}.",
    "Let me be clear: {clause}.",
    "Everybody in the office knows that {clause}.",
    "I tell you what, {clause}.",
    "Thank you for your message. Sadly, {clause}.",
    "The steps are above. By the way, {clause}.",
    "I would help, but {clause}.",
    "Face it: {clause}.",
    "{clause}, and that will never change.",
    "Here is your answer. Also, {clause}.",
    "Has anyone told you yet that {clause}?",
    "No wonder it doesn't work, {clause}.",
)

PERSONAL_REJECTING: Final[tuple[str, ...]] = (
    "I never said that {clause}.",
    "It is not fair to say that {clause}.",
    "Don't let anyone tell you that {clause}.",
    "He shouted that {clause}. Is that a reason to report him?",
    "No, nobody thinks that {clause}.",
    "Writing that {clause} would be unkind, so here is a calmer version.",
    "She felt hurt when somebody wrote that {clause}.",
    "Our guidelines forbid messages which say that {clause}.",
    "The review claimed that {clause}. We have asked the author to take it down.",
    "Asking for help does not mean that {clause}.",
)
