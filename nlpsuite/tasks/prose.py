"""Texts that are read for their meaning: markup removed, and a notice for a language the model doesn't know."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from html.parser import HTMLParser

from nlpsuite.data.record import Record
from nlpsuite.errors import InputInvalidError
from nlpsuite.runtime.bundle import Bundle

__all__ = ["guess_language", "known_languages", "markup_to_text", "read_prose"]

# By the beginning of a model's name. What isn't listed may know any language.
_MODEL_LANGUAGES = {"SmolLM": frozenset({"English"}), "TinyLlama": frozenset({"English"})}

_DOCUMENT = re.compile(r"\s*<(?:\?xml|!doctype|html|head|body)\b", re.IGNORECASE)
_ELEMENT_END = re.compile(
    r"</(?:a|article|b|blockquote|body|div|em|footer|h[1-6]|head|header|html|i|li|main|nav|ol|p|script|section|span"
    r"|strong|style|table|td|th|title|tr|ul)\s{0,9}>",
    re.IGNORECASE,
)
_LEAST_ELEMENTS = 3  # fewer may be a text about markup
_HIDDEN = frozenset(("script", "style", "head", "nav", "template", "noscript", "svg"))
_INLINE = frozenset(
    "a abbr b bdi bdo big cite code del dfn em font i ins kbd label mark q s samp small span strong sub sup "
    "time tt u var wbr".split()
)

_SAMPLE = 4_000  # characters that the language is guessed from
_LEAST_LETTERS = 4
_LEAST_WORDS = 5
_LEAST_SHARE = 0.15  # of a text's words that are among a language's commonest
# By the first word of a letter's Unicode name: the language most often written in its script.
_SCRIPTS = {
    "ARABIC": "Arabic or another language in Arabic script",
    "CJK": "Chinese",
    "CYRILLIC": "Russian or another language in Cyrillic script",
    "DEVANAGARI": "Hindi or another language in Devanagari script",
    "GURMUKHI": "Punjabi",
    "HANGUL": "Korean",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
} | {
    name.upper(): name
    for name in "Armenian Bengali Georgian Greek Gujarati Hebrew Kannada Khmer Malayalam Tamil Telugu "
    "Thai".split()
}
_COMMON_WORDS = {
    "English": "the of and to a in is it that for was on with as this are be at by i you not have from but they my "
    "we he she an or his her so were what there all one has had would do your me will very no if when just about",
    "Spanish": "el la los las un una de del que y en es se por con para no su como más pero lo al muy fue este esta "
    "ha son mi todo era yo",
    "French": "le la les un une des de du que et en est qui dans pour pas sur au avec ce cette il elle nous vous je "
    "ne sont très a été mais plus tout se son sa ses l d",
    "German": "der die das ein eine einen den dem des und ist in zu nicht mit von sich auf für es im auch wird war "
    "ich wir sie er aber sehr hat wurde bei als nach am aus",
    "Italian": "il lo la gli le un una di del della che e è in per non con si da sono come più ma al nel molto "
    "questo questa ha anche era i",
    "Portuguese": "o a os as um uma de do da dos das que e em é para não com por se no na mais como mas foi muito "
    "este esta seu sua ao são eu",
    "Dutch": "de het een en van is in dat niet op te met voor zijn er aan ook als bij maar ik wij ze hij was heeft "
    "wordt naar om zeer door die",
    "Swedish": "och att det som en ett är på av för med den till inte har jag han hon vi de var men om mycket från",
    "Danish": "og at det som en et er på af for med den til ikke har jeg han hun vi de var men om meget fra der",
    "Polish": "i w na z się nie do to jest że o jak po co za ale od tak był była dla przez jego są",
    "Czech": "a v na se je to že s z do o jak ale po za byl byla pro jsem není jsou který také",
    "Turkish": "ve bir bu da de için ile çok ne o ben en ama gibi daha olarak var değil mi kadar sonra",
    "Indonesian": "yang dan di ini itu dengan untuk tidak dari dalam akan pada saya ada ke juga adalah sangat",
    "Finnish": "ja on ei se että hän oli ovat mutta kun niin tämä myös kuin olen joka minä sen",
    "Romanian": "și de la în a cu pe care nu este un o din pentru mai ce că sunt au foarte dar",
    "Hungarian": "a az és hogy nem is egy ez volt van de meg csak már nagyon mint vagy ki",
    "Vietnamese": "và là của có không một cho được trong người với này các đã những rất tôi",
}
# Letters that few of the others have.
_LETTERS = {
    "German": "äöüß",
    "French": "éèêëàâçîïôùûœ",
    "Spanish": "ñ¿¡áíóú",
    "Portuguese": "ãõçáíóúâê",
    "Swedish": "åäö",
    "Danish": "åæø",
    "Polish": "ąćęłńśźż",
    "Czech": "čďěňřšťůž",
    "Turkish": "ğışçöü",
}
_WORDS = {language: frozenset(words.split()) for language, words in _COMMON_WORDS.items()}


def known_languages(bundle: Bundle) -> frozenset[str] | None:
    """English names of the languages a model knows; None if that isn't known.

    A model that was adapted may have learned others.
    """
    if bundle.adapter is not None:
        return None
    return next((known for name, known in _MODEL_LANGUAGES.items() if bundle.name.startswith(name)), None)


def read_prose(record: Record, languages: frozenset[str] | None) -> tuple[Record, tuple[str, ...]]:
    """A record without markup, and what the user should know about its text.

    Args:
        languages: that the model knows; None if that isn't known.

    Raises:
        InputInvalidError: there is nothing but markup.
    """
    notices = []
    text = markup_to_text(record.text)
    if text is not None:
        if not text:
            raise InputInvalidError("The document has no text, only markup.", hint="Name another file.")
        record = dataclasses.replace(record, text=text)
        notices.append("The input is HTML or XML: only its text is used, without tags, scripts and styles.")
    language = guess_language(record.text) if languages is not None else None
    if languages is not None and language and language not in languages:
        notices.append(
            f"The text seems to be {language}; the model knows {', '.join(sorted(languages))} only, so don't "
            "expect a correct result. Name a multilingual model with --model."
        )
    return record, tuple(notices)


def markup_to_text(text: str) -> str | None:
    """The text of an HTML or XML document or fragment, one line a block; None if ``text`` is neither."""
    if not _DOCUMENT.match(text):
        ends = _ELEMENT_END.finditer(text)
        if any(next(ends, None) is None for _ in range(_LEAST_ELEMENTS)):
            return None
    reader = _TextReader()
    reader.feed(text)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).split("\n"))
    return "\n".join(line for line in lines if line)


class _TextReader(HTMLParser):
    """Collects the text that a browser would show."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self._hidden.clear()  # an unclosed head ends here
        elif tag in _HIDDEN:
            self._hidden.append(tag)
        self._break(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(re.sub(r"\s+", " ", data))

    def _break(self, tag: str) -> None:
        if tag not in _INLINE:
            self.pieces.append("\n")


def guess_language(text: str, among: Collection[str] = ()) -> str | None:
    """English name of a text's language, by its letters and commonest words; None if that is uncertain.

    Args:
        among: the languages it may be, by their English names, of which less evidence is asked; empty if it may be any.
    """
    if among:
        return _guess_among(text[:_SAMPLE].lower(), among)
    letters = [character for character in text[:_SAMPLE] if character.isalpha()]
    if len(letters) < _LEAST_LETTERS:
        return None
    scripts = Counter(filter(None, map(_script_language, letters)))
    if "Japanese" in scripts:  # which is written with Chinese characters too
        scripts["Japanese"] += scripts.pop("Chinese", 0)
    if scripts and sum(scripts.values()) > len(letters) / 2:
        return scripts.most_common(1)[0][0]
    words = re.findall(r"[^\W\d_]+", text[:_SAMPLE].lower())
    if len(words) < _LEAST_WORDS:
        return None
    shares = Counter({language: sum(map(known.__contains__, words)) for language, known in _WORDS.items()})
    [(best, count), (_, second)] = shares.most_common(2)
    return best if count / len(words) >= _LEAST_SHARE and count > second else None


def _guess_among(text: str, languages: Collection[str]) -> str | None:
    words = re.findall(r"[^\W\d_]+", text)
    evidence = Counter(
        {
            language: sum(
                (word in _WORDS.get(language, ()))
                + any(letter in _LETTERS.get(language, "") for letter in word)
                for word in words
            )
            for language in languages
        }
    )
    [(best, count), (_, second), *_] = [*evidence.most_common(2), ("", 0)]
    return best if count > second else None


def _script_language(letter: str) -> str | None:
    return None if letter.isascii() else _SCRIPTS.get(unicodedata.name(letter, "").partition(" ")[0])
