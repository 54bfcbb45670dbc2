"""Persons in Chinese text: what the model says of words, corrected by what surrounds them.

The model knows most names of two and three characters. It misses names that are also words (after 姓名：, they are
names), cuts names of minorities and foreigners at the middle dot, takes brands and roads for people, and includes
titles or not as it pleases. A span is the full name without title (王建国先生: 王建国); where only the family name
is there, the title is what names the person and belongs to it (李女士). Names in Latin letters are not looked for.

Offsets are code points. Nothing here depends on more than some twenty characters around a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from privacy.detection.chinese_words import (
    BRANDS,
    CERTAIN,
    COMMON,
    COMPOUND,
    GIVEN,
    SINGLE,
    SPELLING,
    listed,
)
from privacy.detection.findings import Finding
from privacy.detection.lac import Word

_HAN: Final = r"[\u3400-\u9fff]"
_DOTS: Final = "·•・‧∙⋅･．."
_DOTTED: Final = re.compile(rf"(?<={_HAN})[{_DOTS}](?={_HAN})")
_TITLE: Final = (
    "先生|女士|小姐|太太|夫人|阿姨|叔叔|大爷|大妈|大娘|大叔|大姐|大哥|奶奶|爷爷|师傅|老师|医生|大夫|护士|护士长|经理|主任|主管|"
    "总监|总|教授|博士|律师|法官|警官|工程师|工|同学|同志|院长|校长|局长|处长|科长|部长|店长|组长|董事长|董事|老板|助理|会计|"
    "秘书|顾问|班长|队长|教练|主席|书记|所长|行长|厂长"
)
_COMPOUND: Final = re.compile("|".join(sorted(CERTAIN)))
_TITLES: Final = "|".join(sorted(_TITLE.split("|"), key=len, reverse=True))
_A_TITLE: Final = re.compile(_TITLES)
# Family names that are a word by themselves: 向经理 may be to the manager.
_WORDY: Final = frozenset("于和向时应常单安全支方高项路车水温明成计谈解强管万左古祖武那何花边易艾益关游权商欧利师段")
_POLITE: Final = re.compile("先生|女士|小姐|太太|夫人|阿姨|同志")
_ENDS_IN_TITLE: Final = re.compile(rf"(?<=.)(?:{_TITLES})$")

# After these a name follows whatever it looks like, given a mark or word that introduces it.
_ROLES: Final = (
    "姓名|名字|名|联系人|联络人|收件人|收货人|寄件人|发件人|取件人|签收人|代收人|经办人|负责人|申请人|投保人|被保人|被保险人|受益人|"
    "持卡人|开户人|户主|业主|租客|承租人|出租人|租户|房东|法定代表人|法人代表|法人|监护人|当事人|委托人|代理人|投诉人|举报人|来电人|"
    "报案人|参保人|就诊人|入住人|乘车人|乘机人|预订人|预约人|订票人|患者|病人|客户|顾客|用户|会员|乘客|旅客|学员|学生|员工|家长|家属|"
    "车主|司机|骑手|快递员|配送员|医生|护士|老师|客服|坐席|同事|朋友|邻居|同学|室友|妻子|丈夫|老公|老婆|爱人|儿子|女儿|孩子|父亲|母亲|"
    "爸爸|妈妈|哥哥|姐姐|弟弟|妹妹|男友|女友|男朋友|女朋友"
)
_INTRODUCED: Final = re.compile(
    rf"(?:(?:{_ROLES})(?:姓名|名字|全名|本名)?\s?(?:[:：]\s?|是|为|叫做|名叫|叫|\s)|"
    r"(?:我|本人|他|她|名字|我的名字)(?:叫做|叫|名叫)|敝姓名?|签字[:：]\s?|签名[:：]\s?|落款[:：]\s?|姓名(?:[:：]\s?|\s)?|署名[:：]?\s?)[“\"「『【]?"
)
_APPOSED: Final = re.compile(rf"(?:{_ROLES})")
_AFTER_APPOSED: Final = re.compile(
    r"[（(,，、\s]{0,2}(?:男|女|手机|电话|联系|身份证|证件|卡号|\d{1,3}岁|1[3-9]\d|生于|出生|住在|家住|今年\d|病历|"
    r"住院号|工号)"
)
_FOLLOWING: Final = re.compile(
    r"$|[^\u3400-\u9fffA-Za-z]|先生|女士|小姐|同学|老师|的?(?:手机|电话|身份证|账户|账号|订单|地址|邮箱|微信|联系|病历|护照)|"
    r"收|签收|来电|致电|反映|反馈|表示|咨询|投诉|申请|预约|要求|提供|称|说|本人|您好|你好|和|与|跟|及|在|于|已|住|男|女|今年|等"
)
_LABEL: Final = re.compile(r"\s?[:：]")
_NOT_A_NAME: Final = frozenset(["a", "ad", "d", "p", "c", "u", "r", "m", "q", "xc", "w", "TIME"])
# A name that goes on like this is the name of something else.
_THING: Final = re.compile(
    r"牌|旗舰店|专卖店|专柜|官方|集团|公司|超市|酒店|饭店|药房|大药房|火锅|豆浆|烤鸭|凉茶|路|街|大道|广场|公园|大桥|桥|大学|中学|小学|"
    r"医院|故居|纪念|村|镇|乡|县|区|市|省|湖|山|江|河|岛|湾|奖|杯|效应|定律|定理|算法|综合征|病(?!人|历|情|房|假)|运动鞋|球鞋|手机壳|"
    r"香水|口红|汽车|轿车"
)
_FUNCTIONS: Final = frozenset(["u", "p", "c", "r", "w", "m", "q", "xc"])
_ADVERBS: Final = frozenset("刚常方亦可一正早晚时先凡")
_VERBS: Final = frozenset("来拿留开加让")  # which also spell foreign names
_BEHIND: Final = listed("""
    代为 来电 致电 去电 已经 现在 现住 反映 反馈 要求 表示 本人 先生 女士 经理 医生 老师 和平
    """)


def persons(text: str, words: Sequence[Word]) -> list[Finding]:
    """Each person, by start; overlaps are possible where two rules see the same name."""
    places = _Places(text, words)
    found = list(_dotted(places))
    found += _modelled(places, found)
    found += _introduced(places)
    found += _titled(places)
    found += _compounds(places)
    found += _listed(places, found)
    return found


class _Places:
    """The words of a text, by where they begin and end."""

    def __init__(self, text: str, words: Sequence[Word]) -> None:
        self.text = text
        self.words = words
        self.by_start = {word.start: number for number, word in enumerate(words)}
        self.by_end = {word.end: number for number, word in enumerate(words)}

    def starting(self, at: int) -> Word | None:
        number = self.by_start.get(at)
        return None if number is None else self.words[number]

    def ending(self, at: int) -> Word | None:
        number = self.by_end.get(at)
        return None if number is None else self.words[number]

    def around(self, at: int) -> int:
        """The number of the word that holds the character at `at`."""
        while at not in self.by_start:
            at -= 1
        return self.by_start[at]


def family(text: str, at: int) -> int:
    """How many characters of a family name begin at `at`: 2, 1 or 0."""
    if text[at : at + 2] in COMPOUND:
        return 2
    return int(text[at : at + 1] in SINGLE)


def _is_han(text: str) -> bool:
    return all("\u3400" <= character <= "\u9fff" for character in text)


def _is_spelt(text: str) -> bool:
    return all(character in SPELLING for character in text)


# --- names with a middle dot: 阿依古丽·买买提, 彼得·洛佩兹


def _dotted(places: _Places) -> Iterator[Finding]:
    text, done = places.text, 0
    for dot in _DOTTED.finditer(text):
        if dot.start() < done:
            continue
        start, end = _before_dot(places, dot.start()), dot.end()
        while True:
            end = _after_dot(places, end)
            following = _DOTTED.match(text, end)
            if following is None or end == following.end():
                break
            end = following.end()
        done = end
        if start < dot.start() and end > dot.end():
            start, end = _narrowed(text, start, end)
            yield Finding(start, end, "PERSON", 0.85, "rule:middle-dot")


def _before_dot(places: _Places, dot: int) -> int:
    """Where the part before the dot begins: at a word, through words the model calls a person or all spelt."""
    number = places.around(dot)
    if places.words[number].start == dot:
        number -= 1
    start = dot
    while number >= 0 and dot - places.words[number].start <= 8:
        word = places.words[number]
        part = places.text[word.start : min(word.end, dot)]
        if not part or not _is_han(part) or not (word.tag == "PER" or _is_spelt(part)):
            break
        if start < dot and (part in _VERBS or word.tag in _NOT_A_NAME):
            break
        start = word.start
        number -= 1
    return start


def _after_dot(places: _Places, at: int) -> int:
    number, end = places.around(at), at
    while number < len(places.words):
        word = places.words[number]
        part = places.text[max(word.start, at) : word.end]
        dot = _DOTTED.search(part, 0)
        part = part[: dot.start()] if dot else part
        person = word.tag == "PER"
        if not _is_han(part) or word.end - at > 9 or not (person or _is_spelt(part)):
            break
        if not person and end > at and (word.tag in _NOT_A_NAME or part in _VERBS):
            break
        end = max(word.start, at) + len(part)
        if dot or (person and word.start >= at):
            break
        number += 1
    word = places.words[places.around(at)]
    if end == at and word.start == at and word.end - at <= 4 and _is_han(places.text[at : word.end]):
        return word.end  # 吐地, which nothing tells from a word
    return end


# --- what the model calls a person


def _modelled(places: _Places, taken: Sequence[Finding]) -> Iterator[Finding]:
    covered = {at for finding in taken for at in range(finding.start, finding.end)}
    for start, end in _joined(places):
        if start not in covered and (finding := _judged(places, start, end)) is not None:
            yield finding


def _joined(places: _Places) -> Iterator[tuple[int, int]]:
    """The persons of the model, a name put together again that it cut after its family name."""
    text, words, number = places.text, places.words, 0
    while number < len(words):
        word = words[number]
        number += 1
        if word.tag != "PER":
            continue
        start, end = word.start, word.end
        before = words[number - 2] if number > 1 else None
        if before and before.tag[:1] == "n" and before.end == start and end - start <= 2 and not family(text, start):
            whole = text[before.start : before.end]
            start = before.start if whole in COMPOUND or whole in SINGLE else start
        if number < len(words) and words[number].tag == "PER" and _is_cut(text, start, end, words[number].end):
            end = words[number].end
            number += 1
        yield _narrowed(text, *_widened(places, start, end))


def _widened(places: _Places, start: int, end: int) -> tuple[int, int]:
    """With the character that the model gave to the word before or behind."""
    text = places.text
    if text[start - 1 : start + 1] in CERTAIN and text[start - 2 : start] not in ("公司", "上司", "官司"):
        start -= 1  # 客户司 and 马爱静
    first = family(text, start)
    before, following = places.ending(start), places.starting(end)
    if first == 2 == end - start and following and following.end - end <= 2 and following.tag not in _FUNCTIONS:
        titled = _A_TITLE.match(text, end) or not _is_han(text[end : following.end])
        end = end if titled else following.end  # 皇甫 and 行
    elif not first and before and before.end - before.start == 1 and _is_spelt(text[before.start : end]):
        start -= text[before.start] not in _VERBS
    elif first and following and end - start == first + 1 and following.end - end == 1 and text[end] in GIVEN:
        # 李建 and 望, before what follows a name. An adverb (王海 and 亦) stands before no comma.
        after = _FOLLOWING.match(text, end + 1) if following.tag not in _FUNCTIONS else None
        adverb = following.tag in ("d", "f") and text[end] in _ADVERBS and text[end + 1 : end + 2].isalnum()
        if text[end] == text[end - 1] or (after and not adverb):
            end += 1
    elif end - start == 2 and first == 1 and text[start + 1] in SINGLE and following and following.end - end == 2:
        end += 2 * (GIVEN.issuperset(text[end : end + 2]) and following.tag[:1] == "n")  # 张王 and 雅婷
    return start, end


def _narrowed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without the first character of the word behind: 王志代 and 为."""
    return start, end - (text[end - 1 : end + 1] in _BEHIND and end - start > 2)


def _is_cut(text: str, start: int, middle: int, end: int) -> bool:
    """Whether two neighbouring persons are one: 张王 and 雅婷, 司马 and 光."""
    if end - start > 4:
        return False
    first = family(text, start)
    return middle - start == first or (first == 1 and middle - start == 2 and not family(text, middle))


def _judged(places: _Places, start: int, end: int) -> Finding | None:
    text = places.text
    while end > start and (text[end - 1] in _DOTS or text[end - 1].isspace()):
        end -= 1
    while start < end and text[start] in _DOTS:
        start += 1
    title = _ENDS_IN_TITLE.search(text[start:end])
    if title and title.start() > family(text, start):
        end = start + title.start()
    name = text[start:end]
    if len(name) < 2 or len(name) > 12 or not _is_han(name):
        following = _A_TITLE.match(text, end)
        if not (len(name) == 1 and name in SINGLE and following):
            return None
        return Finding(start, following.end(), "PERSON", 0.8, "model")
    if len(name) == family(text, start) and (following := _A_TITLE.match(text, end)):
        end = following.end()
    if name in BRANDS or (title is None and _THING.match(text, end)):
        return None
    likely = bool(family(text, start)) or _is_spelt(name)
    return Finding(start, end, "PERSON", 0.85 if likely else 0.5, "model")


# --- names after what introduces them, before a title, beside other names


def _introduced(places: _Places) -> Iterator[Finding]:
    text = places.text
    for cue in _INTRODUCED.finditer(text):
        end = _name_at(places, cue.end())
        if end and _FOLLOWING.match(text, end) and not _LABEL.match(text, end):
            yield Finding(cue.end(), end, "PERSON", 0.8, "context")
    for cue in _APPOSED.finditer(text):
        end = _name_at(places, cue.end())
        if end and (_AFTER_APPOSED.match(text, end) or _is_given(text, cue.end(), end)):
            yield Finding(cue.end(), end, "PERSON", 0.7, "context")
        elif not end and cue.end() not in places.by_start and cue.end() < len(text):
            end = places.words[places.around(cue.end())].end  # 监护人王卫金 as one word
            if _is_given(text, cue.end(), end):
                yield Finding(cue.end(), end, "PERSON", 0.6, "context")


def _is_given(text: str, start: int, end: int) -> bool:
    """Whether it is made like a name, and is no word: a family name and one or two characters of given names."""
    first = family(text, start)
    given = text[start + first : end]
    return bool(first) and 0 < len(given) < 3 and GIVEN.issuperset(given) and text[start:end] not in COMMON


def _name_at(places: _Places, start: int) -> int:
    """The end of the name that begins at `start` by its family name, or 0: words of the model make it up exactly."""
    text = places.text
    first = family(text, start)
    if not first or places.starting(start) is None:
        return 0
    longest = first + 2 + (first == 1 and text[start + 1 : start + 2] in SINGLE)
    at, tags = start, []
    while (word := places.starting(at)) is not None and word.end - start <= longest and at - start <= first:
        tags.append(word.tag)
        at = word.end
        if at - start > first and (_FOLLOWING.match(text, at) or word.tag == "PER"):
            break
    if at - start <= first or not _is_han(text[start:at]) or text[start:at] in BRANDS:
        return 0
    # 方便的话, 高兴地说: a word that goes on as a word does.
    return 0 if text[at : at + 1] in ("的", "地", "得") and tags[0] in _NOT_A_NAME else at


def _titled(places: _Places) -> Iterator[Finding]:
    """李女士, 高兴先生: a family name or a word that begins with one, where the model saw no person."""
    text = places.text
    for title in _A_TITLE.finditer(text):
        word = places.ending(title.start())
        if word is None or word.tag == "PER":
            continue
        first = family(text, word.start)
        length = word.end - word.start
        if first and length == first and (word.tag[:1] in ("n", "L", "O") or text[word.start] not in _WORDY):
            before = places.ending(word.start)
            if before is None or before.tag not in ("m", "r", "a"):
                yield Finding(word.start, title.end(), "PERSON", 0.7, "rule:title")
        elif first and first < length <= first + 2 and _POLITE.match(text, title.start()) and word.tag != "r":
            yield Finding(word.start, word.end, "PERSON", 0.7, "rule:title")


def _compounds(places: _Places) -> Iterator[Finding]:
    """上官 and 艳牧: a compound family name that is nothing else, and a word of one or two characters."""
    text = places.text
    for found in _COMPOUND.finditer(text):
        word = places.starting(found.end())
        if found.start() not in places.by_start or word is None or word.end - word.start > 2 or word.tag in _NOT_A_NAME:
            continue
        if _is_han(text[word.start : word.end]) and not _A_TITLE.match(text, word.start):
            yield Finding(found.start(), word.end, "PERSON", 0.6, "rule:compound")


def _listed(places: _Places, found: Sequence[Finding]) -> Iterator[Finding]:
    """张伟、高兴、王芳: after a person and 、, a word that begins with a family name and ends with the item."""
    text = places.text
    for person in found:
        at = person.end
        while text[at : at + 1] == "、" and (end := _name_at(places, at + 1)) and _FOLLOWING.match(text, end):
            word = places.starting(at + 1)
            if word is not None and word.tag != "PER":
                yield Finding(at + 1, end, "PERSON", 0.6, "rule:list")
            at = end
