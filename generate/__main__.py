"""`python -m generate`: rewrites what is generated."""

import sys

from generate.files import main

if __name__ == "__main__":
    sys.exit(main())
