"""Masks: what of a value may be shown where the value itself may not (GB/T 35273-2020 7.2, PIPL 51(3)).

The standard asks for masking wherever data is displayed and leaves the form open; each mask here takes the
strictest form in common use in China and states in `shows` the most that it lets through. Four rules hold:

1. Every text has a mask: nothing raises, whatever the script, the length or the damage.
2. What does not look like a value of the kind is hidden whole, as HIDDEN; a short value is hidden whole too.
3. Stars do not count what they hide, but in names (at most eight a word) and Chinese identity numbers,
   whose length is public anyway.
4. A masked value masked again is the same.

A mask is not pseudonymisation: the owner of a phone number is often found from the seven digits left.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from privacy.errors import Invalid

HIDDEN: Final = "****"
_LONGEST: Final = 512  # what is longer is none of these kinds, and is not worth the work


@dataclass(frozen=True, slots=True)
class Mask:
    """`shows` promises the most that `apply` lets through; `apply` is total and idempotent."""

    name: str
    shows: str
    apply: Callable[[str], str]


def mask(kind: str, value: object) -> str:
    """`value` with all hidden but what `MASKS[kind].shows` promises; HIDDEN for whatever is not text.

    Raises Invalid for an unknown kind only, never for a value.
    """
    chosen = MASKS.get(kind)
    if chosen is None:
        raise Invalid(f"There is no such mask; there are {', '.join(MASKS)}")
    return chosen.apply(value) if isinstance(value, str) else HIDDEN


def _cleaned(value: str) -> str:
    """NFKC, digits of any script as ASCII, one space for white space; no controls, no half characters."""
    if len(value) > _LONGEST:
        return ""
    kept = []
    for character in unicodedata.normalize("NFKC", value):
        digit = unicodedata.decimal(character, None)
        if digit is not None:
            kept.append(str(digit))
        elif character.isspace():
            kept.append(" ")
        elif unicodedata.category(character) not in ("Cc", "Cf", "Cs"):
            kept.append(character)
    # Without what stood between them a letter and its accent may now be one character.
    return unicodedata.normalize("NFKC", " ".join("".join(kept).split()))


def _all(value: str) -> str:
    return HIDDEN


# --- telephone numbers

_PHONE: Final = re.compile(r"(?:tel:)?(\+?[0-9 ().\-/]+)(?:(?:ext|x|#|转|轉|分机|;ext=)[.: ]*[0-9]*)?", re.IGNORECASE)
_PHONE_MASKED: Final = re.compile(r"(?:\+[0-9]{1,3} )?(?:[0-9]{2,4})?\*{4}[0-9]{3,4}")
# ITU-T E.164 annex D: calling codes of one and of two digits; all others have three.
_CALLING_CODE: Final = re.compile(
    "1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-689][0-9]{2}",
)
_CN_MOBILE: Final = re.compile("1[3-9][0-9]{9}")
_CN_LANDLINE: Final = re.compile("(0(?:10|2[0-9]|[3-9][0-9]{2}))([2-9][0-9]{6,7})")


def _phone(value: str) -> str:
    """At least four digits of the subscriber's number are hidden; extensions are dropped."""
    if len(value) == 11 and value.isascii() and _CN_MOBILE.fullmatch(value):
        return f"{value[:3]}****{value[7:]}"  # the common case, ten times faster
    text = _cleaned(value)
    if _PHONE_MASKED.fullmatch(text):
        return text
    found = _PHONE.fullmatch(text)
    if found is None:
        return HIDDEN
    digits = re.sub("[^0-9]", "", found[1].replace("(0)", ""))  # +44 (0)20 is +44 20
    if found[1].startswith("+"):
        return _international(digits)
    if digits.startswith("00"):
        return _international(digits[2:])
    if re.fullmatch(r"86(1[3-9][0-9]{9})", digits):
        return _international(digits)
    return _national(digits)


def _international(digits: str) -> str:
    code = _CALLING_CODE.match(digits)
    if code is None or len(digits) > 15:
        return HIDDEN
    number = digits[code.end() :]
    if code[0] == "86":
        number = number.removeprefix("0")
        # From abroad the trunk prefix 0 of a landline is left out: +86 10 6278 1234.
        is_landline = _CN_LANDLINE.fullmatch(f"0{number}") is not None
        shown = _national(f"0{number}").removeprefix("0") if is_landline else _national(number)
    else:
        shown = _last_digits(number)
    return HIDDEN if shown == HIDDEN else f"+{code[0]} {shown}"


def _national(digits: str) -> str:
    if _CN_MOBILE.fullmatch(digits):
        return f"{digits[:3]}{HIDDEN}{digits[-4:]}"
    landline = _CN_LANDLINE.fullmatch(digits)
    if landline is not None:
        return landline[1] + _last_digits(landline[2])
    return _last_digits(digits)


def _last_digits(number: str) -> str:
    if not 7 <= len(number) <= 15:
        return HIDDEN
    return HIDDEN + number[-min(4, len(number) - 4) :]


# --- e-mail addresses

_EMAIL: Final = re.compile(r"([^\s@<>\"(),:;]{1,64})@((?:[\w-]{1,63}\.)+[\w-]{2,63})")


def _email(value: str) -> str:
    found = _EMAIL.fullmatch(_cleaned(value))
    if found is None or len(found[2]) > 253:
        return HIDDEN
    first = found[1][0]
    # One or two characters would be shown by half or whole; a combining mark has lost its letter.
    shown = first if len(found[1]) >= 3 and unicodedata.category(first)[0] in "LN" else ""
    return f"{shown}***@{found[2]}"


# --- identity documents and cards

_CN_ID: Final = re.compile("[0-9]{17}[0-9X]|[0-9]{15}")
_ID_MASKED: Final = re.compile(r"[0-9A-Z]\*{6}[0-9A-Z]|[0-9]\*{16}[0-9X]|[0-9]\*{13}[0-9]")


def _id(value: str) -> str:
    """First and last character only: region and birth date in between would single a villager out."""
    text = _cleaned(value).upper()
    if _ID_MASKED.fullmatch(text):
        return text
    text = re.sub("[ -]", "", text)
    if _CN_ID.fullmatch(text):
        return text[0] + "*" * (len(text) - 2) + text[-1]
    if re.fullmatch("[0-9A-Z]{8,32}", text):
        return f"{text[0]}******{text[-1]}"
    return HIDDEN


def _card(value: str) -> str:
    """The last four digits of 12 to 19 (ISO/IEC 7812); PCI DSS 3.4 would allow the issuer's too."""
    text = re.sub("[ -]", "", _cleaned(value))
    if re.fullmatch(r"\*{4}[0-9]{4}", text):
        return text
    return HIDDEN + text[-4:] if re.fullmatch("[0-9]{12,19}", text) else HIDDEN


# --- names

_HAN: Final = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af"
_HAN_AND_SPACES: Final = re.compile(f"[{_HAN}]+(?: [{_HAN}]+)+")
_HAN_WORD: Final = re.compile(f"[{_HAN}][{_HAN}*]*")
_NAME_DOT: Final = re.compile("[\u00b7\u0387\u2022\u2027\u2219\u22c5\u2e31\u30fb]")
_STARS: Final = 8
_COMPOUND_SURNAME: Final = re.compile(
    "欧阳|歐陽|司马|司馬|上官|诸葛|諸葛|夏侯|东方|東方|皇甫|尉迟|尉遲|公孙|公孫|慕容|令狐|长孙|長孫|"
    "宇文|司徒|司空|鲜于|鮮于|闻人|聞人|太史|端木|轩辕|軒轅|独孤|獨孤|南宫|南宮|西门|西門|申屠|公羊|"
    "澹台|澹臺|公冶|宗政|濮阳|濮陽|淳于|单于|單于|太叔|仲孙|仲孫|钟离|鍾離|呼延|赫连|赫連|拓跋|百里|"
    "东郭|東郭|南门|南門|左丘|梁丘|第五|万俟|萬俟|完颜|完顏|纳兰|納蘭|耶律|叶赫|那拉|公良|漆雕|乐正"
)


def _name(value: str) -> str:
    """The surname of a Chinese name; else the first letter of each word that has more than one."""
    text = _cleaned(value)
    if not text or any(character.isdecimal() or character == "@" for character in text):
        return HIDDEN  # a number or an address in the place of a name
    if _HAN_AND_SPACES.fullmatch(text):
        text = text.replace(" ", "")
    words = [[_word(part) for part in _NAME_DOT.split(word)] for word in text.split(" ")]
    if sum(map(len, words)) > 6:
        return HIDDEN  # a sentence
    return " ".join("\u00b7".join(parts) for parts in words)


def _word(word: str) -> str:
    letters = _letters(word)
    if not letters:
        return "*"
    shown = 1
    if _HAN_WORD.fullmatch(word) and len(letters) >= 3 and _COMPOUND_SURNAME.match(word):
        shown = 2
    if len(letters) == 1 or unicodedata.category(letters[0][0])[0] != "L":
        shown = 0
    return "".join(letters[:shown]) + "*" * min(_STARS, len(letters) - shown)


def _letters(word: str) -> list[str]:
    """Characters with up to three marks each: no accent is shown without its letter or split from it."""
    letters: list[str] = []
    for character in word:
        if letters and unicodedata.category(character)[0] == "M":
            if len(letters[-1]) < 4:
                letters[-1] += character
        else:
            letters.append(character)
    return letters


# --- addresses

_PROVINCES: Final = (
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|"
    "广东|海南|四川|贵州|云南|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门"
)
# A city is believed without its province only by its name: 王伟住北京市 must not pass for a city.
_CITIES: Final = (
    "石家庄|唐山|秦皇岛|邯郸|邢台|保定|张家口|承德|沧州|廊坊|衡水|太原|大同|阳泉|长治|晋城|朔州|"
    "晋中|运城|忻州|临汾|吕梁|呼和浩特|包头|乌海|赤峰|通辽|鄂尔多斯|呼伦贝尔|巴彦淖尔|乌兰察布|沈阳|"
    "大连|鞍山|抚顺|本溪|丹东|锦州|营口|阜新|辽阳|盘锦|铁岭|朝阳|葫芦岛|长春|四平|辽源|通化|白山|"
    "松原|白城|哈尔滨|齐齐哈尔|鸡西|鹤岗|双鸭山|大庆|伊春|佳木斯|七台河|牡丹江|黑河|绥化|南京|无锡|"
    "徐州|常州|苏州|南通|连云港|淮安|盐城|扬州|镇江|泰州|宿迁|杭州|宁波|温州|嘉兴|湖州|绍兴|金华|"
    "衢州|舟山|台州|丽水|合肥|芜湖|蚌埠|淮南|马鞍山|淮北|铜陵|安庆|黄山|滁州|阜阳|宿州|六安|亳州|"
    "池州|宣城|福州|厦门|莆田|三明|泉州|漳州|南平|龙岩|宁德|南昌|景德镇|萍乡|九江|新余|鹰潭|赣州|"
    "吉安|宜春|抚州|上饶|济南|青岛|淄博|枣庄|东营|烟台|潍坊|济宁|泰安|威海|日照|临沂|德州|聊城|滨州|"
    "菏泽|郑州|开封|洛阳|平顶山|安阳|鹤壁|新乡|焦作|濮阳|许昌|漯河|三门峡|南阳|商丘|信阳|周口|"
    "驻马店|武汉|黄石|十堰|宜昌|襄阳|鄂州|荆门|孝感|荆州|黄冈|咸宁|随州|长沙|株洲|湘潭|衡阳|邵阳|"
    "岳阳|常德|张家界|益阳|郴州|永州|怀化|娄底|广州|韶关|深圳|珠海|汕头|佛山|江门|湛江|茂名|肇庆|"
    "惠州|梅州|汕尾|河源|阳江|清远|东莞|中山|潮州|揭阳|云浮|南宁|柳州|桂林|梧州|北海|防城港|钦州|"
    "贵港|玉林|百色|贺州|河池|来宾|崇左|海口|三亚|三沙|儋州|成都|自贡|攀枝花|泸州|德阳|绵阳|广元|"
    "遂宁|内江|乐山|南充|眉山|宜宾|广安|达州|雅安|巴中|资阳|贵阳|六盘水|遵义|安顺|毕节|铜仁|昆明|"
    "曲靖|玉溪|保山|昭通|丽江|普洱|临沧|拉萨|日喀则|昌都|林芝|山南|那曲|西安|铜川|宝鸡|咸阳|渭南|"
    "延安|汉中|榆林|安康|商洛|兰州|嘉峪关|金昌|白银|天水|武威|张掖|平凉|酒泉|庆阳|定西|陇南|西宁|"
    "海东|银川|石嘴山|吴忠|固原|中卫|乌鲁木齐|克拉玛依|吐鲁番|哈密"
)
# Signs of a street or a house inside what would else read as a place: 南京东路步行街小区.
_H: Final = "[\u4e00-\u9fff]"
_PLACE: Final = f"(?:(?![路街道巷弄号院楼栋幢室园厂校村镇社小组家店]){_H})"
_NO_STREET: Final = "(?![东西南北中]{0,2}(?:路|街|大道|大街|巷))"  # 北京西路 is a street in Shanghai
_PROVINCE: Final = re.compile(f"(?:{_PROVINCES})(?:(?:特别行政|(?:壮族|回族|维吾尔)?自治)区|省|市|{_NO_STREET})")
_DISTRICT: Final = re.compile(f"{_PLACE}{{1,5}}?(?:[区县]|市(?!场))|{_PLACE}{{2,8}}?旗|{_H}{{2,14}}?自治[县旗]")
_CITY: Final = re.compile(f"(?:{_CITIES})市")
_CITY_AFTER_PROVINCE: Final = re.compile(
    f"{_CITY.pattern}|(?:{_CITIES})(?={_DISTRICT.pattern})|{_PLACE}{{1,4}}?(?:市(?!场)|地区|盟)|{_H}{{2,14}}?自治州"
)
_WORD: Final = r"[^\W\d_](?:[^\W\d_]|[.'\u2019-])*"
_FOREIGN_PLACE: Final = re.compile(f"{_WORD}(?: {_WORD}){{0,3}}")


def _address(value: str) -> str:
    text = _cleaned(value)
    if re.search(f"[{_HAN}]", text):
        return _chinese_place(re.sub("[ ,]", "", text)) + HIDDEN
    parts = text.split(",")
    place = " ".join(word for word in parts[-1].split() if not any(map(str.isdecimal, word)))
    if len(parts) > 1 and len(place) <= 40 and _FOREIGN_PLACE.fullmatch(place):
        return f"{HIDDEN}, {place}"
    return HIDDEN


def _chinese_place(text: str) -> str:
    """The beginning of `text` that names province, city and district, as far as it can be told."""
    text = text.removeprefix("中国").removeprefix("中华人民共和国")
    province = _PROVINCE.match(text)
    end = province.end() if province else 0
    city = (_CITY_AFTER_PROVINCE if province else _CITY).match(text, end)
    end = city.end() if city else end
    if end == 0:
        return ""
    district = _DISTRICT.match(text, end)
    return text[: district.end() if district else end]


MASKS: Final[Mapping[str, Mask]] = MappingProxyType(
    {
        each.name: each
        for each in (
            Mask(
                "phone",
                "country and area code or the first three digits of a mobile, and the last four",
                _phone,
            ),
            Mask("email", "the first character, and the domain", _email),
            Mask("id", "the first and the last character", _id),
            Mask("name", "the surname of a Chinese name, else the first letter of each word", _name),
            Mask("card", "the last four digits", _card),
            Mask("address", "province, city and district; of a foreign address the last part", _address),
            Mask("all", "nothing", _all),
        )
    }
)
"""Every mask by the name that the manifest uses."""
