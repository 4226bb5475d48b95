"""`python -m generate`: rewrites what is generated."""

from generate.files import main

if __name__ == "__main__":
    main()
