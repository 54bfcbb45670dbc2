"""Presidio's recognisers on Chinese text: an `NlpEngine` that reads words with the LAC model.

Presidio asks its engine for tokens, lemmas and entities. Here a token is a word of LAC and its own lemma (Chinese does
not inflect), so `LemmaContextAwareEnhancer` finds context words, and persons, places, organisations and times become
the spans that `SpacyRecognizer` passes on. The service itself asks `chinese.Chinese`, which is faster and corrects
the model; this engine is for recognisers written for Presidio.

Each text gets a vocabulary of its own: spaCy keeps every word it has seen for as long as the vocabulary lives, and
the words of a text are personal data. Nothing is downloaded.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, NlpEngine
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from privacy.detection.chinese_words import listed
from privacy.detection.lac import Lac, Word

LANGUAGE: Final = "zh"
_ENTITIES: Final = {"PER": "PERSON", "LOC": "LOCATION", "ORG": "ORGANIZATION", "TIME": "DATE_TIME"}
_SCORE: Final = 0.85  # the model gives none
_STOP_WORDS: Final = listed("""
    的 了 是 在 和 与 也 都 就 这 那 我 你 他 她 它 们 吗 呢 吧 啊 有 被 把 对 为
    """)


class LacNlpEngine(NlpEngine):
    """For `AnalyzerEngine(nlp_engine=..., supported_languages=["zh"])`. `threads` are those of the model."""

    engine_name = "lac"
    is_available = True

    def __init__(self, threads: int = 1) -> None:
        self.ner_model_configuration = NerModelConfiguration(
            model_to_presidio_entity_mapping=dict(_ENTITIES), labels_to_ignore=[], default_score=_SCORE
        )
        self._threads = threads
        self._lac: Lac | None = None

    def load(self) -> None:
        self._lac = Lac(self._threads)

    def is_loaded(self) -> bool:
        return self._lac is not None

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        return self._artifacts(text, self._model().words([text])[0], language)

    def process_batch(
        self,
        texts: Iterable[Any],
        language: str,
        batch_size: int = 64,
        n_process: int = 1,
        as_tuples: bool = False,
        **_: object,
    ) -> Iterator[Any]:
        """(text, artifacts), or (text, artifacts, context) of (text, context) with `as_tuples`, in the order given."""
        left = iter(texts)
        while batch := list(islice(left, max(1, batch_size))):
            said = [str(one[0] if as_tuples else one) for one in batch]
            for one, text, words in zip(batch, said, self._model().words(said), strict=True):
                artifacts = self._artifacts(text, words, language)
                yield (text, artifacts, one[1]) if as_tuples else (text, artifacts)

    def is_stopword(self, word: str, language: str) -> bool:
        return word in _STOP_WORDS

    def is_punct(self, word: str, language: str) -> bool:
        return bool(word) and all(unicodedata.category(character)[0] in "PZS" for character in word)

    def get_supported_entities(self) -> list[str]:
        return list(_ENTITIES.values())

    def get_supported_languages(self) -> list[str]:
        return [LANGUAGE]

    def _model(self) -> Lac:
        if self._lac is None:
            raise RuntimeError("load() comes first")
        return self._lac

    def _artifacts(self, text: str, words: list[Word], language: str) -> NlpArtifacts:
        said = [text[word.start : word.end] for word in words]
        doc = Doc(Vocab(), words=said, spaces=[False] * len(said), lemmas=said)
        spans = [
            Span(doc, number, number + 1, label=_ENTITIES[word.tag])
            for number, word in enumerate(words)
            if word.tag in _ENTITIES and said[number].strip()
        ]
        doc.set_ents(spans)
        return NlpArtifacts(
            entities=spans,
            tokens=doc,
            tokens_indices=[word.start for word in words],
            lemmas=said,
            nlp_engine=self,
            language=language,
            scores=[_SCORE] * len(spans),
        )
