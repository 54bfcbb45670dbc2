"""Presidio as it comes, to be measured beside; the network is never asked."""

from __future__ import annotations

import warnings
from pathlib import Path

import presidio_analyzer
import tldextract
import yaml
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider, NoOpNlpEngine

from privacy.detection.english_model import PACKAGE
from privacy.detection.findings import Finding


def keep_off_the_network() -> None:
    """Its e-mail recogniser would ask for the list of public suffixes; the package brings one along."""
    offline = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    tldextract.extract = offline  # type: ignore[assignment]  # called as the function is, which is declared as one


def without_a_model() -> AnalyzerEngine:
    """What finds identifiers: a model finds names."""
    keep_off_the_network()
    return AnalyzerEngine(nlp_engine=NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}]))


def with_the_model() -> AnalyzerEngine:
    """English by the model that we use, and by its own settings."""
    keep_off_the_network()
    conf = yaml.safe_load((Path(presidio_analyzer.__file__).parent / "conf" / "default.yaml").read_text())
    conf["models"][0]["model_name"] = PACKAGE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AnalyzerEngine(nlp_engine=NlpEngineProvider(nlp_configuration=conf).create_engine())


def found(engine: AnalyzerEngine, text: str) -> list[Finding]:
    """All that it finds, as ours is written; overlapping, and however weak."""
    return [Finding(each.start, each.end, each.entity_type, each.score, "model") for each in engine.analyze(text, "en")]
