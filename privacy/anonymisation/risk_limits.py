"""What no figure of a risk report says: the limits of its model, in words."""

from __future__ import annotations

from typing import Final

from privacy.manifest import Text

_MODEL: Final = Text(
    en="The figures hold against somebody who knows the quasi-identifiers listed here, and no more. Which columns a "
    "recipient can know is a judgement, made by people, and may be wrong.",
    zh="以上数字只针对仅知道此处所列准标识符的攻击者。接收方可能知道哪些列，是由人作出的判断，判断可能有误。",
)
_SINGLING_OUT: Final = Text(
    en="k-anonymity bounds how surely a row is led back to one person. It does not rule out that a person is singled "
    "out with other sources (Cohen 2022), nor that something is inferred about everybody in a class.",
    zh="k-匿名限制了将某一行追溯到某个人的把握程度，但不能排除借助其他来源将个人区分出来（Cohen 2022），"
    "也不能排除对某一类别中所有人作出推断。",
)
_OTHERS: Final = Text(
    en="Only releases of this service are laid over this one. What others have published about the same people is not "
    "known here.",
    zh="仅与本服务的其他发布相互比对。他人就同一人群公开的信息，此处无从知晓。",
)
_TIME: Final = Text(
    en="What is hard today may be easy later: the release is to be assessed again on the date in its data sheet.",
    zh="今天难以做到的，日后可能变得容易：应当在数据说明书所载日期重新评估本次发布。",
)
_LOCAL: Final = Text(
    en="Equal values may have different labels here (local recoding). Such releases can be coded down in part by "
    "whoever knows the algorithm, so they are for controlled recipients only.",
    zh="此处相同的值可能有不同的标签（局部重编码）。了解算法的人可以部分还原其细节，因此只能提供给受控接收方。",
)
_PUBLIC: Final = Text(
    en="A public release cannot be called back, and no contract binds those who have it.",
    zh="公开发布无法收回，也没有合同约束取得它的人。",
)
_ROWS: Final = Text(
    en="Every row was taken for a person. If somebody has several rows, classes are smaller than they look.",
    zh="每一行被视为一个人。如果一个人有多行，各类别的实际人数会小于显示的数字。",
)
_PERSONS: Final = Text(
    en="Classes are counted in distinct persons; a person's rows in different classes are not linked by these figures, "
    "but may be by somebody who knows that they belong together.",
    zh="类别按不同的个人计数；这些数字不把同一人在不同类别中的行联系起来，但知道它们属于同一人的攻击者可以做到。",
)
_NOT_SENSITIVE: Final = Text(
    en="No column was declared sensitive, so nothing is said about what can be learnt of a person in a known class.",
    zh="没有声明敏感列，因此未说明可以从已知类别中获知某个人的哪些信息。",
)
_HOMOGENEOUS: Final = Text(
    en="There are classes where everybody has the same sensitive value: who is known to be in one has no secret left, "
    "whatever k is.",
    zh="存在所有人敏感值相同的类别：一旦知道某人属于该类别，无论 k 多大，其敏感值都不再是秘密。",
)
_ESTIMATED: Final = Text(
    en="The journalist's and the marketer's risk are estimated from the sampling fraction, as if the sample had been "
    "drawn evenly. Rare combinations may be rarer in the population than that.",
    zh="记者风险与营销者风险按抽样比例估计，假定样本为均匀抽取。罕见的组合在总体中可能比估计的更少见。",
)


def limits_of(
    *, is_public: bool, is_local: bool, by_person: bool, has_sensitive: bool, has_homogeneous: bool, is_estimated: bool
) -> tuple[Text, ...]:
    """Those that apply to a release, the gravest of the circumstances first."""
    chosen = [
        (has_homogeneous, _HOMOGENEOUS),
        (is_public, _PUBLIC),
        (is_local, _LOCAL),
        (not has_sensitive, _NOT_SENSITIVE),
        (is_estimated, _ESTIMATED),
        (True, _PERSONS if by_person else _ROWS),
        (True, _MODEL),
        (True, _SINGLING_OUT),
        (True, _OTHERS),
        (True, _TIME),
    ]
    return tuple(text for applies, text in chosen if applies)
