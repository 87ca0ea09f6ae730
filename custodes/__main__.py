"""``python -m custodes``: the same as the ``custodes`` command."""

from custodes.cli.main import main

if __name__ == "__main__":
    main()
