"""Invented customer-service talk in Chinese, with the place of every person and address in it.

The rules of detection know neither these names nor these templates: nothing is shared with them, and what the rules do
on every second template was not looked at while they were written (`Talk.kept_back`). Names have two to four
characters, compound family names, names of minorities and of foreigners, and names that are words;
addresses go from the province to the room, or begin anywhere below. Some templates hold no person at all. All of it is
invented.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Span:
    """Code points of a text that are a PERSON or an ADDRESS."""

    start: int
    end: int
    entity: str


@dataclass(frozen=True, slots=True)
class Talk:
    """A text, what is in it, the number of its template, and whether that was kept back from the rules' writing."""

    text: str
    spans: tuple[Span, ...]
    template: int

    @property
    def kept_back(self) -> bool:
        return self.template % 2 == 1


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# {person} is labelled without what follows; {called} is a family name with a title, labelled with it.
TEMPLATES: Final = (
    "客户{person}来电反映，{time}购买的{goods}至今没有发货，订单号{order}，请尽快处理。",
    "您好，我是{person}，我想查一下我的快递，单号{order}，一直显示在{hub}没有动。",
    "收件人：{person}，电话{phone}，地址：{address}。",
    "麻烦帮我把收货地址改成{address}，收件人换成{person}，谢谢。",
    "{called}您好，您反映的{goods}质量问题我们已经登记，{time}前会有专人联系您。",
    "患者{person}，{sex}，{age}岁，因反复咳嗽三天于{time}就诊，现住{address}。",
    "用户{person}（手机{phone}）投诉快递员态度恶劣，要求道歉。",
    "我叫{person}，身份证丢了，想问问补办会员卡需要带什么材料？",
    "坐席：请问怎么称呼您？客户：我姓名{person}，住在{address}。",
    "投诉内容：{time}在门店购买{goods}，与店员发生争执，投诉人{person}要求退款。",
    "家住{address}的{person}向我们反映，楼上住户长期噪音扰民。",
    "麻烦让{person}给我回个电话，我是他的同事{person}。",
    "物业你好，{address}水管漏水，业主{person}，联系电话{phone}，请安排师傅上门。",
    "您的包裹已由{person}代收，如有疑问请联系快递员{person}。",
    "预约人{person}已预约{time}的上门安装服务，上门地址为{address}。",
    "参会人员：{person}、{person}、{person}，会议时间{time}。",
    "{person}和{person}一起办理的家庭套餐，主卡是{person}的。",
    "我老婆{person}上周在你们店里办了卡，现在想转到我名下，我叫{person}。",
    "姓名：{person}\n性别：{sex}\n年龄：{age}\n住址：{address}\n诉求：退换{goods}",
    "紧急联系人 {person} {phone}，家庭住址 {address}",
    "【工单】申请人{person}申请更换{goods}，受理时间{time}，工单编号{order}",
    "刚才那位{called}态度很好，想给她一个五星好评。",
    "请问{person}先生在吗？这里是售后服务中心，您的{goods}已经修好了。",
    "乘客{person}于{time}在车上遗失{goods}一件，请司机协助寻找，送至{address}。",
    "我儿子{person}今年{age}岁，想报名你们的夏令营，需要监护人{person}到场吗？",
    "发票抬头写个人，名字是{person}，寄到{address}就行。",
    "转账给{person}的那笔钱一直没到账，流水号{order}，{time}转的。",
    "回访记录：{person}女士对本次服务表示满意，无其他诉求。",
    "{person}：你们的{goods}到底什么时候能修好？\n客服：非常抱歉给您带来不便。",
    "主叫人自称{person}，称其母亲{person}在{address}独居，近日联系不上。",
    "房东{person}不肯退押金，合同上写的房屋地址是{address}，租期到{time}。",
    "保单受益人由{person}变更为{person}，变更生效时间为{time}。",
    "取件码已发送，货放在{address}门口的柜子里了，麻烦{called}尽快取走。",
    "寄件人{person}从{address}寄出，物品为{goods}，保价三百元。",
    "早上{person}打电话来说孩子发烧，今天不来上课了，已经告诉班主任{called}。",
    "经核实，会员{person}的账户于{time}被盗用，涉及积分{number}分。",
    "我在{address}等了半个小时，司机{called}一直没到，能不能换一辆车？",
    "员工{person}工伤认定材料已收到，出险地点：{address}，出险时间：{time}。",
    "委托{person}代为领取{goods}，委托人签字：{person}，日期：{time}",
    "昨天给我装宽带的是{person}师傅，装完以后网速还是很慢，地址是{address}。",
    "据{person}说，{goods}是{person}在双十一买的，已经过了保修期。",
    "请核对您的信息：{person}，{phone}，{address}，确认无误请回复1。",
    "签收人不是本人，我不认识什么{person}，请查清楚{order}这一单到底送哪了。",
    "今天是{person}的生日，能不能在{goods}里放一张贺卡，写上{person}敬上？",
    "有没有一位叫{person}的医生？我之前挂的是他的号，{time}的。",
    "上门回收旧家电，{address}，找{called}，{time}以后都在家。",
    "学生{person}（学号{order}）申请休学，家长{person}已签字同意。",
    "债务人{person}，户籍地{address}，欠款本金{number}元，逾期三个月。",
    # No person and no address.
    "你们家的{goods}质量太差了，用了两天就坏，我要求全额退款。",
    "订单{order}显示已签收，但是我根本没有收到货，请核实一下。",
    "请问会员积分什么时候到期？我有{number}积分想兑换{goods}。",
    "这个型号的{goods}支持七天无理由退货吗？运费谁出？",
    "系统升级到3.2.1版本以后，{goods}一直连不上网，重启也没用。",
    "活动时间是{time}，满三百减五十，可以和优惠券一起使用。",
    "客户高度评价了本次服务，希望继续保持，对{goods}非常满意。",
    "快递一直停在{hub}，已经五天没有更新物流信息了。",
    "李宁的运动鞋和周大福的项链参加满减活动吗？老干妈呢？",
    "方便的话请在{time}前回电，过期不再受理，谢谢理解。",
    "华为手机屏幕碎了，换一块屏要{number}元，比京东贵不少。",
    "房间在三楼，空调不制冷，马桶也堵了，能不能换一间安静的？",
)

_SINGLE: Final = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔"
    "钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
)
_COMPOUND: Final = ("欧阳", "司马", "上官", "诸葛", "东方", "皇甫", "尉迟", "慕容", "令狐", "夏侯", "司徒", "宇文")
_GIVEN: Final = (
    "伟芳娜敏静丽强磊军洋勇艳杰涛明超秀霞平刚桂英华玉兰春梅建国志宏海燕晓雪文博子轩雨涵浩然梓萱欣怡佳琪嘉豪俊熙思"
    "远泽宇诗琪若曦一鸣景行书瑶沐辰奕可馨婉清亦凡锦程楚乔知夏望舒安澜云帆牧之逸飞晨曦凤莲翠花德福永贵金宝小红大勇"
    "卫东爱民"
)
_WORDS: Final = _split(
    "高兴 田野 方圆 江山 白雪 黄河 温暖 时间 安静 马上 路遥 成功 高峰 向阳 万里 雷鸣 石磊 金石 常青 夏天"
)
MINORITY: Final = _split("""
    阿依努尔·艾合买提 古丽娜尔·吐尔逊 买买提·依明 艾尼瓦尔·阿不都热合曼 迪丽努尔·亚森 帕尔哈提·玉素甫
    热依汗古丽·卡德尔 木拉提·哈布都拉 叶尔兰·努尔兰别克 扎西·顿珠 其其格·巴特尔 阿迪力·吐地 阿孜古丽 仁青卓嘎
    次旦多吉 格日勒图 苏日娜 加央措姆 乌云塔娜 巴图孟克
    """)
FOREIGN: Final = _split("""
    约翰·史密斯 玛丽·安德森 亚历山大·彼得罗夫 大卫·威廉姆斯 索菲亚·加西亚 穆罕默德·萨利赫 安娜·科瓦奇 皮埃尔·杜邦
    汉斯·米勒 山本一郎 佐藤美咲 金敏智 让·雅克·卢梭 卡洛斯·费尔南德斯 詹姆斯·布朗
    """)
_CALLED: Final = ("先生", "女士", "小姐", "老师", "经理", "医生", "师傅", "阿姨", "主任")
_REGIONS: Final = [
    tuple(region.split("/"))
    for region in _split("""
    浙江省/杭州市/余杭区 浙江省/宁波市/鄞州区 江苏省/苏州市/昆山市 江苏省/南通市/如东县
    广东省/深圳市/龙岗区 广东省/佛山市/顺德区 四川省/成都市/双流区 四川省/绵阳市/三台县
    湖北省/武汉市/洪山区 湖南省/长沙市/岳麓区 河南省/郑州市/金水区 河南省/周口市/太康县
    山东省/青岛市/崂山区 山东省/临沂市/兰山区 福建省/泉州市/晋江市 陕西省/西安市/雁塔区
    云南省/昆明市/官渡区 贵州省/遵义市/播州区 辽宁省/大连市/甘井子区 黑龙江省/哈尔滨市/道里区
    河北省/保定市/清苑区 安徽省/合肥市/包河区 江西省/赣州市/章贡区 甘肃省/兰州市/七里河区
    海南省/三亚市/天涯区 广西壮族自治区/南宁市/青秀区 内蒙古自治区/包头市/昆都仑区 新疆维吾尔自治区/喀什地区/疏附县
    宁夏回族自治区/银川市/兴庆区 西藏自治区/拉萨市/城关区 /北京市/丰台区 /上海市/闵行区
    /天津市/河西区 /重庆市/渝北区
    """)
]
ROADS: Final = _split("""
    人民路 解放东路 中山北路 建设大道 学府街 长江西路 文化巷 和平里大街 凤凰南路 朝阳门内大街 科创十一街 古墩路
    虹桥路 迎宾大道 三元里大道 青年路 龙腾中路 北环大道 石龙街 花木兰路 东风胡同 梧桐巷 府前街 南屏二路 滨河东路
    老机场路 莲花池西里
    """)
ESTATES: Final = _split("""
    阳光花园 翠湖小区 金地名苑 幸福里 万象新城 书香门第 水岸华庭 龙湖天街 紫荆公寓 锦绣江南 东方明珠花园 碧水湾
    桃源居 中央公馆 和谐家园 星河国际 银泰城 望江府 春晓苑 创新大厦 时代广场 环球中心 金桥产业园 供电局宿舍
    第二纺织厂家属院
    """)
TOWNS: Final = ("五常街道", "观澜街道", "柳林镇", "石桥镇", "青山乡", "马头镇", "永和街道", "沙河镇")
VILLAGES: Final = ("小王庄村", "大李村", "红星村", "东坡村", "石门坎村", "张家湾村", "杏花村", "柳树屯")
_GOODS: Final = _split("""
    洗衣机 蓝牙耳机 羽绒服 电饭煲 扫地机器人 儿童座椅 净水器 笔记本电脑 行李箱 按摩椅 空气炸锅 充电宝 智能门锁 床垫
    保温杯 运动手环
    """)
_HUBS: Final = ("广州中转站", "华东分拨中心", "西安转运中心", "中转仓", "武汉集散点")


def talk(seed: int, count: int) -> Iterator[Talk]:
    """`count` texts, each template as often as the others; the same for the same seed."""
    rng = random.Random(seed)
    for number in range(count):
        yield _filled(rng, number % len(TEMPLATES))


_SLOT: Final = re.compile(r"\{(\w+)\}")
_LABELS: Final = {"person": "PERSON", "called": "PERSON", "address": "ADDRESS"}


def _filled(rng: random.Random, template: int) -> Talk:
    text, spans, done = "", [], 0
    for slot in _SLOT.finditer(TEMPLATES[template]):
        text += TEMPLATES[template][done : slot.start()]
        value = _SLOTS[slot[1]](rng)
        if slot[1] in _LABELS:
            spans.append(Span(len(text), len(text) + len(value), _LABELS[slot[1]]))
        text += value
        done = slot.end()
    return Talk(text + TEMPLATES[template][done:], tuple(spans), template)


def name(rng: random.Random) -> str:
    """A person's name, of two characters to a dozen."""
    kind = rng.random()
    if kind < 0.27:
        return rng.choice(_SINGLE) + rng.choice(_GIVEN)
    if kind < 0.76:
        return rng.choice(_SINGLE) + rng.choice(_GIVEN) + rng.choice(_GIVEN)
    if kind < 0.80:
        return "".join(rng.sample(_SINGLE, 2)) + rng.choice(_GIVEN) + rng.choice(_GIVEN)
    if kind < 0.86:
        return rng.choice(_COMPOUND) + "".join(rng.choices(_GIVEN, k=rng.randint(1, 2)))
    return rng.choice(_WORDS if kind < 0.89 else MINORITY if kind < 0.95 else FOREIGN)


def address(rng: random.Random) -> str:
    """An address with at least a road or a village and a number, beginning anywhere from the province down."""
    if rng.random() < 0.15:
        return _village(rng)
    above = _above(rng)
    road = f"{rng.choice(ROADS)}{rng.randint(1, 1999)}{rng.choice(('号', '号', '号', '弄'))}"
    house = _house(rng)
    return above + rng.choice((road, road + house, rng.choice(ESTATES) + house, road + rng.choice(ESTATES) + house))


def _above(rng: random.Random) -> str:
    province, city, district = rng.choice(_REGIONS)
    parts = [province, city, district, rng.choice(TOWNS) if rng.random() < 0.15 else ""]
    return rng.choice(("", "", "", " ")).join(part for part in parts[rng.choice((0, 0, 0, 1, 1, 2, 4)) :] if part)


def _village(rng: random.Random) -> str:
    province, city, district = rng.choice(_REGIONS)
    end = rng.choice(
        (
            f"{rng.randint(1, 9)}组",
            f"{rng.randint(1, 300)}号",
            f"{rng.choice('一二三四五六')}组{rng.randint(1, 99)}号",
            "",
        )
    )
    return province + city + district + rng.choice(TOWNS) + rng.choice(VILLAGES) + end


def _house(rng: random.Random) -> str:
    block, unit, floor, room = rng.randint(1, 30), rng.randint(1, 4), rng.randint(1, 32), rng.randint(1, 4)
    return rng.choice(
        (
            f"{block}栋{unit}单元{floor}0{room}室",
            f"{block}号楼{floor}0{room}",
            f"{block}幢{floor}0{room}室",
            f"{rng.choice('ABCD')}座{floor}层",
            f"{block}-{unit}-{floor}0{room}",
            f"{rng.choice('一二三')}期{block}栋{floor}0{room}",
            f"{block}栋",
            f"{rng.choice('东西南北')}区{block}号楼{rng.choice('一二三四')}单元{floor}0{room}室",
        )
    )


def _time(rng: random.Random) -> str:
    month, day, hour = rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23)
    return rng.choice(
        (
            f"2026年{month}月{day}日",
            f"{month}月{day}号",
            f"2026-{month:02}-{day:02} {hour:02}:30",
            "昨天下午三点",
            "上周五",
            f"{day}号上午",
        )
    )


_SLOTS: Final[dict[str, Callable[[random.Random], str]]] = {
    "person": name,
    "called": lambda rng: rng.choice(_SINGLE) + rng.choice(_CALLED),
    "address": address,
    "time": _time,
    "goods": lambda rng: rng.choice(_GOODS),
    "hub": lambda rng: rng.choice(_HUBS),
    "order": lambda rng: str(rng.randrange(10**11, 10**15)),
    "number": lambda rng: str(rng.randint(10, 90000)),
    "phone": lambda rng: f"1{rng.choice('3578')}{rng.randrange(10**9):09}",
    "sex": lambda rng: rng.choice("男女"),
    "age": lambda rng: str(rng.randint(3, 92)),
}

# Ordinary text, without a person and without an address.
ORDINARY: Final = (
    "今年以来，全国多地推出消费券，餐饮、零售和文旅市场明显回暖，节假日期间客流量同比增长两成。",
    "这款洗衣机噪音比想象中小，烘干效果也不错，就是说明书写得太简单，第一次用花了半个小时。",
    "系统将于凌晨两点到五点进行例行维护，期间无法查询余额和办理转账，请提前安排。",
    "高温天气持续，气象部门提醒市民尽量避免在午后外出，老人和儿童要注意防暑降温。",
    "如果商品存在质量问题，自签收之日起七日内可以申请退货，十五日内可以申请换货，运费由商家承担。",
    "会议强调，要坚持安全第一、预防为主，进一步完善应急预案，提高基层应对突发事件的能力。",
    "游客需凭预约码入园，馆内禁止使用闪光灯，讲解服务每天四场，每场限三十人。",
    "和平与发展仍然是时代主题，各方应当通过对话解决分歧，反对任何形式的单边主义。",
    "万一遇到电梯故障，不要强行扒门，应按下警铃，耐心等待专业人员救援。",
    "方便面的销量连续三年下滑，外卖和预制菜成为年轻人的新选择。",
    "温馨提示：您的套餐流量已使用百分之八十，超出部分按每兆三分钱收取，回复数字可办理加油包。",
    "白菜、土豆和胡萝卜价格稳定，牛肉和羊肉略有上涨，水产品因休渔期供应偏紧。",
    "本次更新修复了若干已知问题，优化了启动速度，并新增深色模式和字体大小调节。",
    "应聘者须具有本科及以上学历，三年以上相关经验，熟练使用办公软件，有较强的沟通能力。",
    "路面施工期间，过往车辆请减速慢行，公交线路临时调整，具体以站牌公告为准。",
    "黄金价格再创新高，银行提示投资者理性看待市场波动，注意控制仓位。",
    "客服热线目前排队人数较多，您可以选择留言，我们将在二十四小时内回复。",
    "项目经理应在每周五前提交进度报告，由部门主任审核后归档。",
    "孕妇和高血压患者慎用，服药期间不宜饮酒，如有不适请立即停药并就医。",
    "时间管理的关键在于分清轻重缓急，先做重要而紧急的事情，再安排其余的工作。",
    "武汉到广州的高铁票已经售罄，可以考虑候补，或者改乘次日的普通列车。",
    "云计算、大数据和人工智能正在改变传统制造业，越来越多的工厂实现了全流程自动化。",
    "房屋漏水维修由物业负责，公共部分的费用从维修基金中支出，业主无需另行缴纳。",
    "安装前请确认墙体能够承重，打孔位置避开水管和电线，建议由专业师傅上门操作。",
)
