"""Training phrases for the adapter of sentiment: SST-2's training part and everyday phrases.

    python make_data.py DATA OUTPUT

DATA holds ``sst2_glue/train.tsv`` and ``sst2_glue/dev.tsv``; of the latter only the texts are read, to leave them out. Written to
OUTPUT: ``train.tsv`` and ``heldout.tsv`` with the columns text and label. SST-2's training part consists of sentences and of
their phrases; held out are whole sentences, and nothing of them is trained on, so that the temperature fitted to them
is that of sentences never seen.

SST-2 is lower-cased, tokenised and about films. So that the adapter serves texts as people write them, a share of its
phrases is rewritten with usual spacing and capitals, or is about other things than films, and phrases of everyday
messages are added, in many variants.
"""

from __future__ import annotations

import argparse
import csv
import random
import re
from collections.abc import Iterator
from pathlib import Path

Row = tuple[str, str]  # text, label

NATURAL = 0.3  # share of phrases with usual spacing and capitals
OTHER_THINGS = (
    0.5  # share of phrases about a film, in usual spelling, that are made to be about something else
)
HELD_OUT = 600  # sentences
VARIANTS = 6  # of each everyday phrase

THINGS = (
    "book phone hotel restaurant laptop game app album course coat chair camera car website recipe jacket lamp bike "
    "headset printer play concert museum cafe gym flight tour keyboard mattress service"
).split()

# {x} is a thing, {p} people, {m} a meal or drink.
POSITIVE = """\
I love it
I love this {x}
Loved it
I like it
I really like this {x}
we loved every minute of it
This is great
This {x} is great
great {x}
what a {x}!
What a wonderful {x}
best {x} ever
the best {x} I have ever had
I can't stop using it
I would buy it again
would recommend to anyone
highly recommended
five stars
10/10
Works perfectly
works like a charm
it just works
arrived early and well packed
exactly what I needed
better than expected
not bad at all
Not bad!
can't complain
no complaints
nothing to complain about
never disappoints
never let me down
you can't go wrong with this {x}
I couldn't be happier
I was not disappointed
worth every penny
worth the wait
good value for money
The {p} were friendly
the {p} were so kind to us
{p} went out of their way to help
our room was clean and quiet
The {m} was delicious
the {m} here is amazing
best {m} in town
Thank you so much!
Thanks, that solved my problem
thanks for the quick reply
You made my day
I'm so happy with it
I am very pleased
this made me smile
so much fun
had a great time
We had a lovely evening
We will be back
I'll be back
can't wait to come back
Congratulations on the new job!
well done
Good job, team
nice work
awesome
Perfect.
excellent
Fantastic {x}, easy to use
super easy to set up
my kids love it
my mother is delighted with it
I thought I would hate it, but I love it
I was sceptical at first, but it is great
Despite a slow start it turned out great
it's a bit pricey, but worth it
who wouldn't love this {x}?
Why didn't I buy this sooner?
How good is this?
I don't hate it, in fact I love it
there is nothing I don't like about this {x}
The new version is so much better
The update fixed everything
battery lasts for days
quick delivery and friendly service
A pleasure from start to finish
it doesn't get better than this
The meeting went really well
I passed my exam today
What a beautiful day
""".splitlines()

NEGATIVE = """\
I hate it
I hate this {x}
Hated it
I don't like it
I do not like this {x}
I didn't like the {x} at all
This is awful
This {x} is terrible
terrible {x}
What a waste of money
what a horrible {x}
worst {x} ever
the worst {x} I have ever had
I want my money back
I would not buy it again
would not recommend
I can't recommend this {x}
avoid
one star
0/10
Doesn't work
does not work at all
it stopped working after a week
arrived late and broken
my order never came
still waiting for my order
not what I ordered
worse than expected
not good
Not good at all
isn't worth it
not worth the money
not worth the wait
could be better
I expected more
I was disappointed
very disappointing
A disappointment from start to finish
such a let-down
I am not happy
I'm so unhappy with it
Too expensive for what it is
overpriced
The {p} were rude
the {p} ignored us
{p} couldn't have cared less
our room was dirty and loud
The {m} was cold
the {m} tasted of nothing
worst {m} in town
Nobody answered my mails
no reply after two weeks
You ruined my day
this made me angry
so boring
had a bad time
We won't be back
never again
Never going there again
I'm sorry to hear you lost your job
badly done
This is not good enough
poor work
useless
Broken.
dreadful
Cheap plastic, fell apart
impossible to set up
my kids hate it
my mother sent it back
I thought I would love it, but I hate it
It looked promising, but it's a mess
Despite the good reviews it was terrible
it's cheap, but it doesn't work
who would like this {x}?
Why did I buy this?
How bad can it get?
I wanted to love it, but I can't
there is nothing to like about this {x}
The new version is so much worse
The update broke everything
battery is dead after an hour
slow delivery and unfriendly service
A pain from start to finish
it doesn't get worse than this
it never works when I need it
The meeting went badly
I failed my exam today
What a miserable day
""".splitlines()

PEOPLE = ("staff", "waiters", "nurses", "people at the desk", "drivers", "teachers", "neighbours", "owners")
MEALS = "soup pizza coffee breakfast curry dessert steak bread beer salad".split()
HAPPY, SAD = (
    ("😀", "😍", "👍", "❤️", ":)", ":-)", "🎉", "😊"),
    ("😡", "👎", ":(", ":-(", "😞", "🤮", "💔", "🙄"),
)


def natural(phrase: str) -> str:
    """A phrase of SST-2 with usual spacing and capitals."""
    text = re.sub(r" (n't|'s|'re|'ve|'ll|'d|'m)\b", r"\1", phrase)
    text = re.sub(r" ([.,!?;:%)])", r"\1", text)
    text = re.sub(r"\( ", "(", text).replace("`` ", '"').replace(" ''", '"').replace(" -- ", " – ")
    text = re.sub(r"\bi\b", "I", text)
    return text[:1].upper() + text[1:]


def about(text: str, generator: random.Random) -> str:
    """A text about a film, made to be about something else."""
    thing = generator.choice(THINGS)
    return re.sub(r"\b(?:movie|film|picture)(s?)\b", rf"{thing}\1", text)


def everyday(
    phrases: list[str], label: str, marks: tuple[str, ...], generator: random.Random
) -> Iterator[Row]:
    """Variants of everyday phrases: names filled in, with and without capitals, stops and emoji."""
    for phrase in phrases:
        for _ in range(VARIANTS):
            text = phrase.format(
                x=generator.choice(THINGS), p=generator.choice(PEOPLE), m=generator.choice(MEALS)
            )
            if text[-1].isalnum():
                text += generator.choice(["", "", ".", ".", "!", "!!"])
            text = generator.choice([text, text, text[0].upper() + text[1:], text.lower()])
            if generator.random() < 0.12:
                text += f" {generator.choice(marks)}"
            yield text, label
    for mark in marks:
        yield mark, label


def sst2(data: Path) -> list[Row]:
    """Phrases of the training part that aren't in the development part."""
    with (data / "sst2_glue/dev.tsv").open(encoding="utf-8") as file:
        left_out = {
            row["content"].strip() for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        }
    with (data / "sst2_glue/train.tsv").open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        texts = [(row["sentence"].strip(), ("negative", "positive")[int(row["label"])]) for row in rows]
    return [(text, label) for text, label in texts if text not in left_out]


def hold_out(rows: list[Row], generator: random.Random) -> tuple[list[Row], list[Row]]:
    """Whole sentences, and the phrases of the other sentences."""
    sentences = [row for row in rows if row[0].endswith((" .", " !", " ?")) and len(row[0].split()) >= 8]
    heldout = generator.sample(sentences, min(HELD_OUT, len(sentences) // 10))
    words = [text.removesuffix(".").split() for text, _ in heldout]
    theirs = {
        tuple(each[start:end])
        for each in words
        for start in range(len(each))
        for end in range(start + 1, len(each) + 1)
    }
    return heldout, [row for row in rows if tuple(row[0].removesuffix(".").split()) not in theirs]


def rewritten(rows: list[Row], generator: random.Random) -> Iterator[Row]:
    """With a share of the texts in usual spelling, some of them about other things."""
    for text, label in rows:
        if generator.random() < NATURAL:
            text = natural(text)
            if generator.random() < OTHER_THINGS:
                text = about(text, generator)
        yield text, label


def write(path: Path, rows: list[Row]) -> None:
    """Write a TSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows(rows)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    heldout, rest = hold_out(sst2(arguments.data), generator)
    rows = list(rewritten(rest, generator))
    for _ in range(3):
        rows += everyday(POSITIVE, "positive", HAPPY, generator)
        rows += everyday(NEGATIVE, "negative", SAD, generator)
    generator.shuffle(rows)
    arguments.output.mkdir(parents=True, exist_ok=True)
    write(arguments.output / "train.tsv", rows)
    write(arguments.output / "heldout.tsv", heldout)
    print(f"{len(rows):,} rows, {len(heldout):,} sentences held out")


if __name__ == "__main__":
    main()
