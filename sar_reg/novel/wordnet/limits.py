"""All numbers that decide which names the WordNet source returns."""

from typing import Final

MOST_WORDS: Final = 40  # A longer class name is a sentence and refused.
# How far the head of a name ("sedan" of "Acura RL Sedan") is trusted to describe the whole name.
HEAD_SHARE: Final = 0.1

# A category with more meanings is too general: "animal" has 4,000, "artifact" 10,000.
WIDEST: Final = 5000
# The same for kinds of what cannot be touched: "sport" has 200, "ill health" 1,200.
WIDEST_ABSTRACT: Final = 500
NARROWEST: Final = 20  # A kind with fewer meanings has too few members.
COST: Final = 1.5  # Cost of naming a kind, in classes of which nothing is known.
# What a class outside all kinds costs besides: a kind for all is better than a narrower one for most.
COVERED: Final = 2.5
MOST: Final = 0.5  # The share of the classes that the kinds must cover.

# A member may have this many times as many meanings below it as the most general class of its kind.
MORE_GENERAL: Final = 4
DEEPER: Final = 1  # A member may be this many steps further below its kind than the deepest class.
# Of a class known by its head only ("smooth newt") nothing below that head is returned if there is this little.
SMALL_FAMILY: Final = 10

# A word that has this meaning in a smaller share of its uses is not returned: "hobby" for a falcon.
MOSTLY: Final = 0.2
COMMON: Final = 0.3  # How common the words are that are drawn at random, see `ClassWords.commonness`.
COMMON_PERSON: Final = 0.1  # How common words for people have to be: rare ones are often pejorative.
