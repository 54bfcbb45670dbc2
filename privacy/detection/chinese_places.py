"""Addresses, places and organisations in Chinese text, joined from the pieces the model gives.

The model finds provinces, cities and most roads, each as a word of its own, and rarely what follows: numbers,
buildings, units, rooms, and estates with ordinary words for a name. A chain begins at a place of the model, or at a
cluster of house parts (3栋2单元) whose estate is then looked for to the left, and goes on over neighbouring places,
nouns that end like a place, and numbers with a unit. With a house part, or down to a road or village through three
levels, it is an ADDRESS, else a LOCATION.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from privacy.detection.chinese_words import BESIDE, PROVINCES
from privacy.detection.findings import Finding
from privacy.detection.lac import Word

_NUMBER: Final = (
    r"第?(?:[甲乙丙丁附]?[A-Za-z]{0,2}[-–]?\d{1,5}(?:[A-Za-z](?![A-Za-z]))?(?:[-–~—、/#]\d{1,5}[A-Za-z]?){0,3}|[A-Za-z](?![A-Za-z])|"
    r"[一二三四五六七八九十百零〇]{1,5}|[甲乙丙丁东西南北中])"
)
_UNIT: Final = (
    r"号(?:楼|院|门(?!口)|房|铺|店|馆|库|地块)?(?!线|文|令|公告|以前|之前|左右|晚|早|上午|下午|中午)|支?弄|巷|[栋幢座]楼?|单元|层|"
    r"楼(?!梯|盘|市|道)|室(?!友|内|外)|房(?:间)?(?!子|东|租|产|价)|户(?!型)|组(?!织|成|合|长)|队(?!友|长)|期|排|大?院(?!长)|村|街坊|"
    r"段|门(?!口|卫|店)|区|铺|#"
)
_PART: Final = re.compile(rf"[\s,，]?(?:{_NUMBER})\s?(?:{_UNIT})")
_ROOM: Final = re.compile(
    r"[-–—\s#]?[A-Za-z]?\d{2,4}(?:[-–]\d{1,4}){0,2}[A-Za-z]?(?![0-9A-Za-z年月日元块个件次分点时米%.:：]|\s?[*xX×])"
    r"|[-–—]\d{1,4}(?!\d)"
)
# House parts that need no place before them.
_CLUSTER: Final = re.compile(
    rf"(?<![0-9A-Za-z])(?:{_NUMBER})\s?(?:号楼|号院|[栋幢]|座(?=\s?[0-9A-Za-z一二三四五六七八九十])|弄|单元|"
    rf"期(?=第?{_NUMBER}(?:栋|幢|号楼|座))|号(?=\s?{_NUMBER}(?:栋|幢|号楼|单元|室|楼|层)))"
)
# 苑9-4-401, 大厦21-2: building, unit, room.
_BLOCK: Final = re.compile(rf"(?:{_NUMBER})\s?(?:[栋幢座]|号楼|单元|弄)")
_ALONE: Final = re.compile(rf"\s?(?:{_UNIT})")  # 公寓22幢1901 and 室
_DASHED: Final = re.compile(r"\s?第?[A-Za-z]?\d{1,3}(?:[-–—]\d{1,4}){1,3}[A-Za-z]?(?![0-9A-Za-z年月日-])")
_ROOMS: Final = re.compile(r"\d{1,3}[-–—]\d{1,2}[-–—]\d{3,4}(?![0-9A-Za-z年月日-])")
_ENDS_IN_HOUSE: Final = re.compile(rf"(?:{_NUMBER})\s?(?:{_UNIT})$")
_NUMBERED: Final = re.compile(r"[\u3400-\u9fff]{1,10}(?:路|街|道|巷|弄|胡同|里|村)\d{1,5}号$")
_A_ROAD: Final = re.compile(rf"(?:路|街|道|巷|弄|胡同|里|村)\s?(?:{_NUMBER})")
_HOUSE: Final = re.compile(rf"(?:{_NUMBER})\s?(?:{_UNIT})")
_LEVEL: Final = re.compile(
    r"(?:省|自治区|特别行政区|市|地区|自治州|盟|区|县|旗|镇|乡|苏木|街道|村|社区|屯|庄|寨|新村|大道|大街|公路|路|"
    r"街|巷|弄|胡同|道)"
)
_FINE: Final = re.compile(
    r"(?:路|街|道|巷|弄|胡同|里|国道|镇|乡|苏木|村|屯|庄|寨|社区|小区|花园|家园|公寓|大厦|广场|苑|园|城|府|湾|居|庭|轩|阁|邸|墅|郡|"
    r"楼|院|校区|宿舍|中心|商场|大学|学院|中学|小学|医院|馆)"
)
_ENDS_AS_PLACE: Final = re.compile(
    r"(?:路|街|大道|道|巷|弄|胡同|公路|国道|省道|环线|小区|花园|家园|公寓|大厦|广场|新村|新城|社区|园区|工业园|产业园|软件园|科技园|"
    r"创业园|校区|宿舍|商厦|商城|商场|大院|苑|村|庄|屯|寨|镇|乡|街道|城|府|湾|园|里|居|庭|轩|阁|邸|墅|郡|豪庭|华府|名邸|国际|中心|"
    r"写字楼|大楼|楼|院|大学|学院|中学|小学|医院|农场|林场|开发区|高新区|新区|区|县|市|省|州|盟|旗|馆|广场|东路|西路|南路|北路|段)$"
)
# The end of a name whose beginning the model gave to the word before: 解放 and 东路, 老 and 城路, 创新 and 大厦东区.
_HEADLESS: Final = re.compile(
    r"[东西南北中]?(?:路|街|大道|道|巷|胡同|区|县|镇|村)|[一二三四五六七八九十]{1,3}(?:路|街|道|巷)|"
    r"(?:大厦|花园|公寓|家园|小区|广场|公馆|新村|新城|国际)"
)
_ADMINISTRATIVE: Final = re.compile(r"[\u3400-\u9fff]{2,6}(?:省|自治区|市|区|县|镇|乡|街道)$")
_GOES: Final = re.compile("[到在往从向寄送放取住至去来]")
_SIZES: Final = frozenset("老新大小上下前后东西南北")
_AFTER_LABEL: Final = re.compile(
    r"(?:.{0,6}?(?:地址|住址|住所|现居|现住|居住地?|住在|所在地|户籍地|户口地|户口|户籍|籍贯|出生地|[发收到送提取寄供]货地|目的地|始发地|地点|位置|"
    r"寄到|寄往|寄至|送到|送往|送至|发到|发往|发至|位于|搬到|改到|改成|改为))+"
)
_TRAILING: Final = re.compile(r"(?<=[0-9号弄栋幢座层楼室元房户组村])(?:吧|吗|呢|啊|呀|了|的|行|收|处)$")
_LABELLED: Final = frozenset("货在籍的属住生产送运")  # before 地, the last character of a label
_ROAD: Final = re.compile(r"[\u3400-\u9fff](?:路|街|大道|道|巷|弄|胡同)$")
_PROVINCE: Final = re.compile(rf"(?:{'|'.join(sorted(PROVINCES))})(?:省|市|(?:壮族|回族|维吾尔)?自治区|特别行政区)?")
_NOUNS: Final = frozenset(["n", "nz", "nr", "ns", "nt", "nw", "PER", "LOC", "ORG", "s", "f", "a", "an", "vn", "v", "b"])
_LONGEST_PIECE: Final = 12  # characters between two certain pieces of an address


def places(text: str, words: Sequence[Word]) -> list[Finding]:
    """ADDRESS, LOCATION and ORGANIZATION, by start and without overlaps."""
    reader = _Reader(text, words)
    found: list[Finding] = []
    done = number = 0
    clusters = [cluster.start() for cluster in _CLUSTER.finditer(text)]
    clusters.reverse()
    roads = _A_ROAD.search(text) is not None
    while number < len(words):
        word = words[number]
        while clusters and clusters[-1] < max(done, word.start):
            clusters.pop()
        if word.start < done:
            number += 1
            continue
        start, at = 0, -1
        if reader.is_seed(number) or (roads and reader.is_road(number)):
            start, at = reader.begun(number, done), reader.seed(number)
        elif clusters and clusters[-1] < word.end:
            start, at = reader.leftwards(clusters[-1], done), clusters[-1]
        if at >= 0:
            end = reader.rightwards(at, start)
            if (finding := _judged(text, start, end, word.tag)) is not None:
                if found and found[-1].end > finding.start:
                    found.pop()
                found.append(finding)
            done = max(end, word.start + 1)
        number += 1
    return found


class _Reader:
    def __init__(self, text: str, words: Sequence[Word]) -> None:
        self.text = text
        self.words = words
        self.by_start = {word.start: number for number, word in enumerate(words)}

    def said(self, number: int) -> str:
        word = self.words[number]
        return self.text[word.start : word.end]

    def is_seed(self, number: int) -> bool:
        word = self.words[number]
        said = self.said(number)
        return word.tag in ("LOC", "ORG") and said not in BESIDE and said != "地"

    def begun(self, number: int, bound: int) -> int:
        """Where the place of that word begins: before it, when its name has no head."""
        word = self.words[number]
        start = word.start
        if self.text[start] == "地" and self.text[max(start - 1, 0)] in _LABELLED:
            start += 1  # 发货地, a label
        elif self.text[start] in "送寄往住" and word.end - start > 3:
            start += 1  # which the model took for the beginning of an estate's name
        headless, housed = _HEADLESS.match(self.text, start, word.end), self._has_house(word.end)
        while number and self.words[number - 1].start >= bound and start - self.words[number - 1].start <= 6:
            number -= 1
            before, said = self.words[number], self.said(number)
            if before.end != start or before.tag in ("w", "PER", "r", "p", "c", "u", "m", "TIME", "LOC"):
                break
            if (label := _AFTER_LABEL.match(said)) is not None:
                start = before.start + label.end()
                break
            if said in BESIDE or not (
                ((headless or housed) and before.tag[:1] in ("n", "a"))
                or (headless and before.tag != "d" and len(said) > 1 and not _GOES.search(said))
                or said in _SIZES
                or _ADMINISTRATIVE.match(said)
            ):
                break
            province = _PROVINCE.search(said)
            start = before.start + (province.start() if province else 0)
            headless, housed = _HEADLESS.match(self.text, start, word.end), False
        return start

    def _has_house(self, at: int) -> bool:
        return _BLOCK.match(self.text, at) is not None or _DASHED.match(self.text, at) is not None

    def is_road(self, number: int) -> bool:
        """A road by its ending, with a house number behind it: 建设/vn 路/n 5号/m, 中山/PER 路/n."""
        word = self.words[number]
        if _NUMBERED.fullmatch(self.said(number)):
            return True
        if word.tag not in _NOUNS or self.said(number) in BESIDE:
            return False
        end = word.end
        if not _ROAD.search(self.said(number)):
            if number + 1 == len(self.words) or self.said(number + 1) not in ("路", "街", "大道", "巷", "道", "村"):
                return False
            end = self.words[number + 1].end
        return _PART.match(self.text, end) is not None

    def seed(self, number: int) -> int:
        word = self.words[number]
        following = number + 1
        if word.tag != "LOC" and following < len(self.words) and self.said(following) in ("路", "街", "大道", "巷"):
            return self.words[following].end
        return word.end

    def rightwards(self, at: int, start: int) -> int:
        """As far as the address goes on from `at`."""
        while end := self._place(at, start) or self._part(at, start) or self._noun(at, start):
            at = end
        return at

    def _place(self, at: int, start: int) -> int:
        """The end of the model's place that follows `at`, a space between them or none; 0 when there is none."""
        number = self._beyond_space(at)
        if number == len(self.words) or self.words[number].tag != "LOC" or self._is_other(number, start):
            return 0
        return self.words[number].end

    def _part(self, at: int, start: int) -> int:
        """The end of the house part that follows `at`, or 0."""
        number = self.by_start.get(at)
        if number is not None and self.words[number].tag == "TIME" and not _FINE.search(self.text, start, at):
            return 0
        before = self.text[max(start, at - 12) : at]
        in_house = _ENDS_IN_HOUSE.search(before)
        part = _PART.match(self.text, at)
        if part is None and before[-1:].isdigit():
            part = _ALONE.match(self.text, at)
        if part is not None and (part[0][0] not in ",，" or in_house):
            return part.end()
        if (rooms := _ROOMS.match(self.text, at)) is not None:
            return rooms.end()
        if in_house or _ENDS_AS_PLACE.search(before):
            part = _DASHED.match(self.text, at) or _ROOM.match(self.text, at)
            return part.end() if part else 0
        return 0

    def _noun(self, at: int, start: int) -> int:
        """The end of the nouns that follow `at` and end like a place or before a house part, or 0."""
        first = self._beyond_space(at)
        for number in range(first, min(first + 4, len(self.words))):
            word, said = self.words[number], self.said(number)
            if word.tag not in _NOUNS or said in BESIDE or word.end - at > _LONGEST_PIECE:
                return 0
            if word.tag == "PER" and not _CLUSTER.match(self.text, word.end):
                return 0
            if len(said) > 2 and _ENDS_IN_HOUSE.search(said):
                return word.end
            if _ENDS_AS_PLACE.search(said) and (word.end - at > 1 or word.end - start > 3):
                return word.end
            if _NUMBERED.search(said):
                return word.end
            if word.tag != "v" and (_CLUSTER.match(self.text, word.end) or _DASHED.match(self.text, word.end)):
                return word.end
        return 0

    def _beyond_space(self, at: int) -> int:
        """The number of the word at `at`, or behind the one space there; how many words there are, if none begins."""
        number = self.by_start.get(at, len(self.words))
        if number < len(self.words) and self.said(number) == " ":
            number += 1
        return number

    def _is_other(self, number: int, start: int) -> bool:
        """Whether a province begins here that is not the one before: 北京上海 are two places."""
        said = self.said(number)
        province = _PROVINCE.match(said)
        if province is None or province.end() not in (len(said), len(said) - 1):
            return False
        before = self.text[start : self.words[number].start]
        return not said[:2].startswith(before[:2])

    def leftwards(self, at: int, bound: int) -> int:
        """Where the estate or road before the house part at `at` begins; `at` itself when none is there."""
        start = at
        number = self.by_start.get(at)
        if number is None:
            return start
        for before in range(number - 1, max(number - 5, -1), -1):
            word = self.words[before]
            if word.tag not in _NOUNS - {"v", "PER"} or word.start < bound or self.said(before) in BESIDE:
                break
            if at - word.start > _LONGEST_PIECE:
                break
            label = _AFTER_LABEL.match(self.said(before))
            start = word.start + (label.end() if label else 0)
            if label:
                break
        return start


def _judged(text: str, start: int, end: int, tag: str) -> Finding | None:
    while end > start and text[end - 1] in " ,，":
        end -= 1
    while start < end and text[start].isspace():
        start += 1
    if (label := _AFTER_LABEL.match(text, start, min(end, start + 10))) is not None and label.end() < end:
        start = label.end()
    if (trailing := _TRAILING.search(text, start, end)) is not None:
        end = trailing.start()
    said = text[start:end]
    houses = len(_HOUSE.findall(said)) + 2 * len(_DASHED.findall(said))
    levels = len(_LEVEL.findall(said))
    fine = _FINE.search(said)
    block = _BLOCK.search(said)
    if (houses and fine) or houses > 1 or (block and block.start()) or (fine and levels > 2):
        return Finding(start, end, "ADDRESS", 0.85, "rule:joined")
    if end - start < 2 or not said.strip():
        return None
    if tag == "ORG":
        return Finding(start, end, "ORGANIZATION", 0.6, "model")
    if tag == "LOC":
        while (house := _ENDS_IN_HOUSE.search(text, start, end)) and house.start() - start > 1:
            end = house.start()  # 上海5号: a day
        return Finding(start, end, "LOCATION", 0.7, "model")
    return None
