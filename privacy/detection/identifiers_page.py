"""A text made ready for the recognisers of identifiers, and what stands beside a place in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from privacy.detection.folding import fold

_WINDOW: Final = 28

# What may stand between a label and its value when nothing else may: 号码是：, " no. is ".
LINK: Final = (
    r"(?:号码|编码|编号|证号|账号|账户|帐号|帐户|号|码|是|为|的|叫|如下|分别|填写|[-:=#\"'“”‘’()\[\]【】《》<>,~\s]|"
    r"(?<![A-Za-z])(?:number|num|no|id|is|was|account)(?![A-Za-z0-9_\-])\.?)"
)
# Between a label and a value of a telling form: any few characters but another value or the end of the sentence.
GAP: Final = r"(?:[^0-9A-Za-z。;!?\n]|(?<![A-Za-z])(?:number|num|no|id|is|was)(?![A-Za-z])){0,14}?"


@dataclass(frozen=True, slots=True)
class Page:
    """One text in four spellings of the same length: as given, folded, lower case, ASCII with `?` for the rest."""

    text: str
    folded: str
    lower: str
    image: str

    def before(self, start: int) -> str:
        """The characters just before, in lower case."""
        return self.lower[max(0, start - _WINDOW) : start]


def page(text: str) -> Page:
    """Fold once for all recognisers."""
    folded = fold(text)
    image = folded if folded.isascii() else folded.encode("ascii", "replace").decode("ascii")
    lower = folded.lower()
    if len(lower) != len(folded):  # İ alone has a lower case of two
        lower = folded.replace("\u0130", "i").lower()
    return Page(text, folded, lower, image)


def places(text: str, words: Iterable[str]) -> Iterator[int]:
    """Where the words begin; of one word in order. Searching each runs at memory speed, one pattern of all does not."""
    for word in words:
        at = text.find(word)
        while at >= 0:
            yield at
            at = text.find(word, at + len(word))


@dataclass(frozen=True, slots=True)
class Label:
    """Words that name what follows. The Latin ones are looked for only beside Latin letters."""

    han: re.Pattern[str]
    latin: re.Pattern[str] | None

    def ends(self, before: str) -> bool:
        """Whether a label ends what stands before a value: no other number, nor a sentence's end, in between."""
        if self.han.search(before):
            return True
        return self.latin is not None and _LATIN.search(before) is not None and self.latin.search(before) is not None


_LATIN: Final = re.compile("[a-z]")


def label(han: str, latin: str = "", reach: int = 14) -> Label:
    """Alternatives of Han and of Latin words, the latter whole, and how many characters may follow them."""
    between = rf"[^0-9。;!?\n]{{0,{reach}}}$"
    return Label(
        re.compile(f"(?:{han}){between}"),
        re.compile(f"(?<![a-z])(?:{latin})(?![a-z]){between}") if latin else None,
    )


# A number that counts, prices or names a thing: its label stands right before it.
_SUFFIX: Final = r"(?:号码|编号|编码|代码|号|码|\s?(?:number|num|no|id|code)(?![a-z])\.?)"
_LEAD: Final = r"[\s:=#_\-\"'(\[【]{0,4}(?:是|为|约|达|共)?[\s:=#\"'(\[【]{0,3}$"
_THING: Final = Label(
    re.compile(
        r"(?:(?:订单|单据|工单|运单|快递单|物流单|票据|发票|流水|交易|凭证|序列|版本|金额|总额|余额|价格|单价|总价|费用|合计|共计|总计|"
        rf"数量|阅读量|播放量|浏览量|访问量|人口|面积|预算|营收|收入){_SUFFIX}?|"
        r"(?:合同|项目|任务|批次|产品|商品|物料|条形|物流|快递|包裹|取件|追踪|跟踪|受理|投诉|报修|申请|案件|记录|请求|会话|消息|日志|"
        rf"事件|机器|资产|库存|保单|账单|车票|机票|单|票|批|型|件|货|案|文|编|条){_SUFFIX}){_LEAD}"
    ),
    re.compile(
        r"(?<![a-z])(?:(?:order|invoice|ref|reference|serial|sn|s/n|sku|version|ver|ticket|batch|model|tracking|"
        r"transaction|txn|trace|build|amount|total|price|sum|barcode|ean|isbn|revision|waybill|timestamp|hash)"
        rf"{_SUFFIX}?|(?:case|part|request|item|product|job|commit|receipt|parcel|shipment|quote){_SUFFIX}){_LEAD}"
    ),
)
_MONEY_BEFORE: Final = re.compile(r"(?:[$€£¥₩]|rmb|usd|cny|eur|hkd|人民币|美元|港币)\s?$")
_MONEY_AFTER: Final = re.compile(
    r"\s?(?:元(?![旦宵])|万(?![一分])|亿|块钱|美元|人民币|(?:rmb|usd|cny|bytes)(?![a-z])|%|字节|人次|吨|公里|平方)"
)


def counts_or_names_a_thing(page: Page, start: int, end: int) -> bool:
    """An order number, a version, an amount: whatever its form, no identifier of a person."""
    before = page.before(start)
    if _MONEY_AFTER.match(page.lower, end):
        return True
    return bool(before) and (_THING.ends(before) or _MONEY_BEFORE.search(before) is not None)
