"""`python -m calco`, also for torchrun and accelerate launch."""

from calco.cli import main

if __name__ == "__main__":
    main()
