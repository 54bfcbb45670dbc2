"""What the page of a risk report says, in both languages."""

from __future__ import annotations

from typing import Final

from privacy.manifest import Text


def _text(en: str, zh: str) -> Text:
    return Text(zh=zh, en=en)


TITLE: Final = _text("Risk report of a release", "数据发布风险报告")
INTRODUCTION: Final = _text(
    "How surely a row of this release could be led back to a person, before and after it was anonymised.",
    "本次发布中的一行被追溯到某个人的可能性，匿名化之前与之后的比较。",
)
BEFORE: Final = _text("Before", "之前")
AFTER: Final = _text("After", "之后")
FIGURE: Final = _text("Figure", "指标")
YES: Final = _text("yes", "是")
NO: Final = _text("no", "否")
NONE: Final = _text("–", "–")
MISSING: Final = _text("missing", "缺失")

RECIPIENT: Final = _text("Recipient", "接收方")
RECIPIENTS: Final = {
    "controlled": _text("controlled: named and bound by contract", "受控：具名并受合同约束"),
    "public": _text("public: anybody", "公开：任何人"),
}
ASKED: Final = _text("k asked for", "要求的 k")
THRESHOLD: Final = _text("Risk threshold of a row", "单行风险阈值")
COUNTED: Final = _text("Classes are counted in", "类别大小按以下计数")
PERSONS_WORD: Final = _text("distinct persons", "不同的个人")
ROWS_WORD: Final = _text("rows", "行")
LEFT_OUT: Final = _text("Rows left out", "未发布的行")
LOSS: Final = _text("Detail lost (0: none, 1: all)", "细节损失（0 为无，1 为全部）")
QUASI: Final = _text("Quasi-identifiers", "准标识符")

SUMMARY: Final = _text("At a glance", "概览")
HOLDS: Final = _text(
    "Every class holds at least {k} persons: k-anonymity holds as asked for.",
    "每个类别至少有 {k} 个人：达到所要求的 k-匿名。",
)
BROKEN: Final = _text(
    "The smallest class holds {found} persons, fewer than the {k} asked for.",
    "最小的类别只有 {found} 个人，少于所要求的 {k} 个。",
)
HOLDS_ROWS: Final = _text(
    "Every class holds at least {k} rows: k-anonymity holds as asked for.",
    "每个类别至少有 {k} 行：达到所要求的 k-匿名。",
)
BROKEN_ROWS: Final = _text(
    "The smallest class holds {found} rows, fewer than the {k} asked for.",
    "最小的类别只有 {found} 行，少于所要求的 {k} 行。",
)

RISKS: Final = _text("Risk of being led back", "被追溯的风险")
RISKS_NOTE: Final = _text(
    "The prosecutor knows that the person is in the release; the journalist only that the person is in the population; "
    "the marketer wants to match as many rows as possible.",
    "检察官攻击者知道目标在本次发布中；记者攻击者只知道目标在总体中；营销者攻击者希望匹配尽可能多的行。",
)
HIGHEST: Final = _text("Highest risk of a row (prosecutor)", "单行最高风险（检察官）")
MEAN: Final = _text("Mean risk of a row (prosecutor)", "单行平均风险（检察官）")
ABOVE: Final = _text("Rows above the threshold (prosecutor)", "高于阈值的行（检察官）")
UNIQUE: Final = _text("Rows of somebody alone in a class", "独自构成类别者的行")
MARKETER: Final = _text("Rows matched rightly (marketer)", "可正确匹配的行（营销者）")
JOURNALIST_HIGHEST: Final = _text("Highest risk of a row (journalist)", "单行最高风险（记者）")
JOURNALIST_MEAN: Final = _text("Mean risk of a row (journalist)", "单行平均风险（记者）")
JOURNALIST_ABOVE: Final = _text("Rows above the threshold (journalist)", "高于阈值的行（记者）")
JOURNALIST_SMALLEST: Final = _text("Smallest class in the population", "总体中最小的类别")
BASES: Final = {
    "population-table": _text("The population is known from a table.", "总体信息来自统计表。"),
    "sampling-fraction": _text("The population is estimated from the sampling fraction.", "总体按抽样比例估计。"),
}
SHORT: Final = {
    "highest": _text("highest", "最高"),
    "mean": _text("mean", "平均"),
    "above": _text("above", "超阈值"),
    "unique": _text("alone", "唯一"),
}

CLASSES: Final = _text("Classes", "类别")
SIZES: Final = _text("How large the classes are", "类别大小")
SIZES_NOTE: Final = _text(
    "A class is all rows with the same quasi-identifiers. The bars show which share of the rows stands in classes of a "
    "size: the larger the class, the better hidden.",
    "类别是准标识符相同的所有行。条形表示位于相应大小类别中的行所占比例：类别越大，隐藏越好。",
)
SIZE: Final = _text("Size of the class", "类别大小")
SHARE: Final = _text("Share of rows", "行占比")
ROWS: Final = _text("Rows", "行数")
PERSONS: Final = _text("Persons", "人数")
NUMBER_OF_CLASSES: Final = _text("Classes", "类别数")
SMALLEST: Final = _text("Smallest class (k)", "最小类别（k）")
AVERAGE: Final = _text("Average class over k (C_avg)", "平均类别与 k 之比（C_avg）")
DISCERNIBILITY: Final = _text("Discernibility", "可辨识度")

SENSITIVE: Final = _text("Sensitive columns within the classes", "类别内的敏感列")
COLUMN: Final = _text("Column", "列")
DISTINCT_L: Final = _text("Distinct l", "互异 l")
ENTROPY_L: Final = _text("Entropy l", "熵 l")
T_EQUAL: Final = _text("t, equal distance", "t（等距离）")
T_ORDERED: Final = _text("t, ordered distance", "t（有序距离）")
HOMOGENEOUS: Final = _text("Rows in classes of one value", "只有一个值的类别中的行")

ATTRIBUTES: Final = _text("What each quasi-identifier tells", "各准标识符的区分能力")
ATTRIBUTES_NOTE: Final = _text(
    "Distinction: different values per row. Separation: the share of pairs of rows that the column tells apart.",
    "互异度：每行的不同值数。分离度：该列能够区分的行对所占比例。",
)
VALUES: Final = _text("Values", "值数")
DISTINCTION: Final = _text("Distinction", "互异度")
SEPARATION: Final = _text("Separation", "分离度")

WORST: Final = _text("The smallest classes", "最小的类别")
WORST_NOTE: Final = _text("As published: labels and sizes only.", "按发布内容显示：仅有标签与大小。")
LABELS: Final = _text("Labels", "标签")

JOINT: Final = _text("Laid over earlier releases", "与先前发布的叠加")
JOINT_NOTE: Final = _text(
    "Whoever has both releases can intersect their classes. No row may stand in a joint cell of fewer than k persons.",
    "同时持有两次发布者可以对其类别取交集。任何行都不得位于少于 k 人的交叉单元中。",
)
NO_JOINT: Final = _text("There is no earlier release of these people.", "此前没有关于这些人的发布。")
EARLIER: Final = _text("Earlier release", "先前的发布")
SHARED: Final = _text("Rows in both", "两次均有的行")
CELLS_BELOW: Final = _text("Joint cells below k", "小于 k 的交叉单元")
ROWS_BELOW: Final = _text("Rows in them", "其中的行")
JOINT_UNIQUE: Final = _text("Rows alone", "唯一的行")
ONE_ONLY: Final = _text("Rows in one only (of them few enough to single out)", "仅在其中一次的行（其中可被区分者）")
JOINT_HOLDS: Final = _text("Holds", "是否成立")

LIMITS: Final = _text("What these figures do not say", "这些数字没有说明的内容")
