"""A risk report as a page for people: one HTML text, without script and without anything from elsewhere.

It may be served or saved: its own Content-Security-Policy allows the one style sheet by its hash and nothing else. It
reads at 360 px; wide tables scroll by themselves. Every chart has its table; columns and rows have headers in scope.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from privacy.anonymisation import risk_words as words
from privacy.anonymisation.measured import Diversity, WorstClass
from privacy.anonymisation.risk_charts import AFTER_COLOUR, BEFORE_COLOUR, Pair, bars
from privacy.anonymisation.risks import Bucket, Figures, RiskReport
from privacy.manifest import Text

_STYLE: Final = f"""
:root {{ color-scheme: light; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; padding: 1rem; max-width: 60rem; background: #fff; color: #1f2937; line-height: 1.5;
  font-family: system-ui, -apple-system, "Noto Sans SC", "PingFang SC", "Microsoft YaHei", sans-serif; }}
h1 {{ font-size: 1.5rem; margin: 0 0 .25rem; }}
h2 {{ font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #d1d5db; padding-bottom: .25rem; }}
p {{ margin: .5rem 0; max-width: 46rem; }}
.verdict {{ border-left: .35rem solid #166534; background: #f0fdf4; padding: .6rem .8rem; font-weight: 600; }}
.verdict.broken {{ border-color: #991b1b; background: #fef2f2; }}
.facts {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem; margin: .8rem 0; }}
.facts div {{ border: 1px solid #d1d5db; border-radius: .4rem; padding: .5rem .6rem; }}
.facts dt {{ font-size: .8rem; color: #4b5563; }}
.facts dd {{ margin: 0; font-weight: 600; overflow-wrap: anywhere; }}
.side {{ display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; align-items: start; }}
@media (min-width: 48rem) {{ .side {{ grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }} }}
.chart {{ width: 100%; max-width: 30rem; height: auto; display: block; }}
.wide {{ overflow-x: auto; }}
.wide:focus-visible {{ outline: 2px solid #1e3a8a; }}
table {{ border-collapse: collapse; width: 100%; font-size: .875rem; }}
caption {{ text-align: left; font-weight: 600; padding: .25rem 0; }}
th, td {{ text-align: left; padding: .3rem .5rem .3rem 0; border-bottom: 1px solid #e5e7eb; vertical-align: top; }}
th {{ font-weight: 600; }}
tbody th {{ font-weight: 400; overflow-wrap: break-word; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
thead .number {{ white-space: normal; }}
.over {{ text-align: center; border-left: 1px solid #d1d5db; }}
.key::before {{ content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .4em; }}
.key.before::before {{ background: {BEFORE_COLOUR}; }}
.key.after::before {{ background: {AFTER_COLOUR}; }}
.key {{ margin-right: 1rem; font-size: .875rem; }}
li {{ margin: .35rem 0; max-width: 46rem; }}
@media print {{ .wide {{ overflow: visible; }} h2 {{ break-after: avoid; }} }}
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
"""For the header of an answer that carries the page; the page says the same by itself."""


def render(report: RiskReport, language: str) -> str:
    """The page, Chinese for "zh" with any region, else English."""
    return _Page(report, language).html()


class _Page:
    """One rendering: the report and its language."""

    def __init__(self, report: RiskReport, language: str) -> None:
        self.report = report
        self.is_chinese = language.lower().split("-")[0] == "zh"
        self.language = "zh-CN" if self.is_chinese else "en"

    def html(self) -> str:
        body = "".join(
            [
                f"<header><h1>{self.say(words.TITLE)}</h1><p>{self.say(words.INTRODUCTION)}</p></header><main>",
                self.summary(),
                self.risks(),
                self.sizes(),
                self.sensitive(),
                self.attributes(),
                self.worst(),
                self.joint(),
                self.limits(),
                "</main>",
            ]
        )
        return (
            f'<!DOCTYPE html>\n<html lang="{self.language}"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{escape(CONTENT_SECURITY_POLICY)}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="referrer" content="no-referrer">'
            f"<title>{self.say(words.TITLE)}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
        )

    def say(self, text: Text) -> str:
        return escape(text.in_language(self.language))

    def summary(self) -> str:
        report = self.report
        holds = report.after.k >= report.k or not report.after.rows
        if report.by_person:
            verdict = words.HOLDS if holds else words.BROKEN
        else:
            verdict = words.HOLDS_ROWS if holds else words.BROKEN_ROWS
        facts = [
            (words.RECIPIENT, self.say(words.RECIPIENTS[report.recipient])),
            (words.ASKED, str(report.k)),
            (words.THRESHOLD, _figure(report.threshold)),
            (words.COUNTED, self.say(words.PERSONS_WORD if report.by_person else words.ROWS_WORD)),
            (words.LEFT_OUT, f"{report.suppressed_rows:,} ({_percent(report.suppressed_share)})"),
            (words.LOSS, self.say(words.NONE) if report.loss is None else _figure(report.loss)),
            (words.QUASI, escape(("、" if self.is_chinese else ", ").join(report.quasi))),
        ]
        listed = "".join(f"<div><dt>{self.say(name)}</dt><dd>{value}</dd></div>" for name, value in facts)
        said = self.say(verdict).format(k=report.k, found=report.after.k)
        kind = "verdict" if holds else "verdict broken"
        return self.section("summary", words.SUMMARY, f'<p class="{kind}">{said}</p><dl class="facts">{listed}</dl>')

    def risks(self) -> str:
        before, after, journalist = self.report.before, self.report.after, self.report.journalist
        rows = [
            (words.HIGHEST, _percent(before.prosecutor.highest), _percent(after.prosecutor.highest)),
            (words.MEAN, _percent(before.prosecutor.mean), _percent(after.prosecutor.mean)),
            (words.ABOVE, _percent(before.prosecutor.above), _percent(after.prosecutor.above)),
            (words.UNIQUE, _percent(before.unique_share), _percent(after.unique_share)),
            (words.MARKETER, "", _percent(self.report.marketer)),
        ]
        if journalist:
            rows += [
                (words.JOURNALIST_HIGHEST, "", _percent(journalist.highest)),
                (words.JOURNALIST_MEAN, "", _percent(journalist.mean)),
                (words.JOURNALIST_ABOVE, "", _percent(journalist.above)),
                (words.JOURNALIST_SMALLEST, "", f"{journalist.smallest:,}"),
            ]
        chart = [
            Pair(words.SHORT[name].in_language(self.language), *values)
            for name, values in (
                ("highest", (before.prosecutor.highest, after.prosecutor.highest)),
                ("mean", (before.prosecutor.mean, after.prosecutor.mean)),
                ("above", (before.prosecutor.above, after.prosecutor.above)),
                ("unique", (before.unique_share, after.unique_share)),
            )
        ]
        content = self.beside("risks", words.RISKS, chart, rows)
        if journalist:
            content += f"<p>{self.say(words.BASES[journalist.basis])}</p>"
        return self.section("risks", words.RISKS, content, words.RISKS_NOTE)

    def sizes(self) -> str:
        before, after = self.report.before, self.report.after
        pairs = list(zip(before.sizes, after.sizes, strict=True))
        chart = [Pair(self.size(one), one.share, two.share) for one, two in pairs]
        table = self.table(
            words.SIZES,
            [words.SIZE, words.NUMBER_OF_CLASSES, words.SHARE, words.NUMBER_OF_CLASSES, words.SHARE],
            [
                (
                    escape(self.size(one)),
                    f"{one.classes:,}",
                    _percent(one.share),
                    f"{two.classes:,}",
                    _percent(two.share),
                )
                for one, two in pairs
            ],
            groups=[(words.BEFORE, 2), (words.AFTER, 2)],
        )
        drawn = bars("chart-sizes", self.plain(words.SIZES), chart, _percent)
        content = f'<div class="side"><div>{self.legend()}{drawn}</div>{table}</div>' + self.table(
            words.CLASSES, [words.FIGURE, words.BEFORE, words.AFTER], list(self.class_figures(before, after))
        )
        return self.section("sizes", words.SIZES, content, words.SIZES_NOTE)

    def class_figures(self, before: Figures, after: Figures) -> Iterable[tuple[str, str, str]]:
        yield self.say(words.ROWS), f"{before.rows:,}", f"{after.rows:,}"
        if self.report.by_person:
            yield self.say(words.PERSONS), f"{before.persons:,}", f"{after.persons:,}"
        yield self.say(words.NUMBER_OF_CLASSES), f"{before.classes:,}", f"{after.classes:,}"
        yield self.say(words.SMALLEST), f"{before.k:,}", f"{after.k:,}"
        yield self.say(words.AVERAGE), f"{before.average_class_size:,.2f}", f"{after.average_class_size:,.2f}"
        yield self.say(words.DISCERNIBILITY), f"{before.discernibility:,}", f"{after.discernibility:,}"

    def sensitive(self) -> str:
        if not self.report.after.sensitive:
            return ""
        earlier = {one.column: one for one in self.report.before.sensitive}
        headers = [
            words.COLUMN, words.DISTINCT_L, words.ENTROPY_L, words.T_EQUAL, words.T_ORDERED, words.HOMOGENEOUS,
        ]  # fmt: skip
        rows = []
        for now in self.report.after.sensitive:
            was = earlier.get(now.column)
            for when, one in ((words.BEFORE, was), (words.AFTER, now)):
                if one is not None:
                    rows.append((f"{escape(one.column)} ({self.say(when)})", *_diversity(one)))
        return self.section("sensitive", words.SENSITIVE, self.table(words.SENSITIVE, headers, rows))

    def attributes(self) -> str:
        headers = [words.COLUMN, *[words.VALUES, words.DISTINCTION, words.SEPARATION] * 2]
        rows = [
            (
                escape(one.column),
                *(f"{one.values:,}", _percent(one.distinction), _percent(one.separation)),
                *(f"{two.values:,}", _percent(two.distinction), _percent(two.separation)),
            )
            for one, two in zip(self.report.before.attributes, self.report.after.attributes, strict=False)
        ]
        table = self.table(words.ATTRIBUTES, headers, rows, groups=[(words.BEFORE, 3), (words.AFTER, 3)])
        return self.section("attributes", words.ATTRIBUTES, table, words.ATTRIBUTES_NOTE)

    def worst(self) -> str:
        counted = [words.LABELS, *([words.PERSONS] if self.report.by_person else []), words.ROWS]
        rows = [
            (self.labels(one), *([f"{one.persons:,}"] if self.report.by_person else []), f"{one.rows:,}")
            for one in self.report.worst
        ]
        return self.section("worst", words.WORST, self.table(words.WORST, counted, rows), words.WORST_NOTE)

    def labels(self, one: WorstClass) -> str:
        between, after = ("；", "：") if self.is_chinese else ("; ", ": ")
        missing = words.MISSING.in_language(self.language)
        pairs = zip(self.report.quasi, one.labels, strict=True)
        return escape(between.join(f"{name}{after}{missing if label is None else label}" for name, label in pairs))

    def joint(self) -> str:
        if not self.report.joint:
            return self.section("joint", words.JOINT, f"<p>{self.say(words.NO_JOINT)}</p>")
        headers = [
            words.EARLIER, words.SHARED, words.CELLS_BELOW, words.ROWS_BELOW, words.JOINT_UNIQUE, words.ONE_ONLY,
            words.JOINT_HOLDS,
        ]  # fmt: skip
        rows = [
            (
                escape(one.earlier),
                *(f"{figure:,}" for figure in (one.rows, one.cells_below, one.rows_below, one.unique_rows)),
                f"{one.only_here + one.only_earlier:,} ({one.alone_below:,})",
                self.say(words.YES if one.holds else words.NO),
            )
            for one in self.report.joint
        ]
        return self.section("joint", words.JOINT, self.table(words.JOINT, headers, rows), words.JOINT_NOTE)

    def limits(self) -> str:
        listed = "".join(f"<li>{self.say(one)}</li>" for one in self.report.limits)
        return self.section("limits", words.LIMITS, f"<ul>{listed}</ul>")

    def plain(self, text: Text) -> str:
        return text.in_language(self.language)

    @staticmethod
    def size(one: Bucket) -> str:
        if one.most is None:
            return f"≥\u00a0{one.least:,}"
        return str(one.least) if one.most == one.least else f"{one.least}–{one.most}"

    def legend(self) -> str:
        return (
            f'<p aria-hidden="true"><span class="key before">{self.say(words.BEFORE)}</span>'
            f'<span class="key after">{self.say(words.AFTER)}</span></p>'
        )

    def beside(self, name: str, title: Text, chart: Sequence[Pair], rows: Sequence[tuple[Text, str, str]]) -> str:
        drawn = bars(f"chart-{name}", self.plain(title), chart, _percent)
        table = self.table(
            title,
            [words.FIGURE, words.BEFORE, words.AFTER],
            [(self.say(row), before or self.say(words.NONE), after) for row, before, after in rows],
        )
        return f'<div class="side"><div>{self.legend()}{drawn}</div>{table}</div>'

    def section(self, name: str, title: Text, content: str, note: Text | None = None) -> str:
        said = f"<p>{self.say(note)}</p>" if note else ""
        return f'<section aria-labelledby="{name}"><h2 id="{name}">{self.say(title)}</h2>{said}{content}</section>'

    def table(
        self,
        title: Text,
        headers: Sequence[Text],
        rows: Sequence[Sequence[str]],
        groups: Sequence[tuple[Text, int]] = (),
    ) -> str:
        """Cells are HTML. The first column names the row; the others are figures, aligned to the right."""
        first, *others = (self.say(header) for header in headers)
        named = "".join(f'<th scope="col" class="number">{one}</th>' for one in others)
        if groups:
            over = "".join(
                f'<th scope="colgroup" colspan="{span}" class="over">{self.say(name)}</th>' for name, span in groups
            )
            head = f'<tr><th scope="col" rowspan="2">{first}</th>{over}</tr><tr>{named}</tr>'
        else:
            head = f'<tr><th scope="col">{first}</th>{named}</tr>'
        body = "".join(f'<tr><th scope="row">{name}</th>{"".join(map(_cell, figures))}</tr>' for name, *figures in rows)
        # Focusable, so that the keyboard can scroll what a narrow screen cuts off.
        return (
            f'<div class="wide" role="region" tabindex="0" aria-label="{self.say(title)}">'
            f"<table><thead>{head}</thead><tbody>{body}</tbody></table></div>"
        )


def _diversity(one: Diversity) -> tuple[str, ...]:
    return (
        f"{one.distinct_l:,}",
        f"{one.entropy_l:,.3f}",
        _figure(one.t_equal),
        _figure(one.t_ordered),
        f"{one.homogeneous_rows:,}",
    )


def _cell(figure: str) -> str:
    return f'<td class="number">{figure}</td>'


def _percent(share: float) -> str:
    """Two digits that matter: a small risk must not read as none."""
    if share and share < 0.0001:
        return "< 0.01 %"
    return f"{share * 100:.2f} %" if share < 0.1 else f"{share * 100:.1f} %"


def _figure(value: float) -> str:
    return f"{value:.4f}"
