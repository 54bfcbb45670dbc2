"""What can be found in a text: each kind's level, DPV category and titles.

A kind bears presidio's name where presidio has one. Kinds of other countries' identifiers that presidio knows and
this table does not are personal identifiers all the same: `entity` answers for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from privacy.levels import Level


@dataclass(frozen=True, slots=True)
class Entity:
    """`level` is what one such value demands by itself; `category` a term of DPV with its prefix."""

    name: str
    level: Level
    category: str
    en: str
    zh: str


_L2: Final = Level.L2
_L3: Final = Level.L3
_L4: Final = Level.L4

# L4: what PIPL 28 and GB/T 45574-2025 annex A call sensitive: official identity numbers, financial accounts.
# L2: what says nothing of a person by itself. A nationality (most of NRP) is not a belief, so NRP stands at L3.
_ALL: Final = (
    Entity("PERSON", _L3, "pd:Name", "Name of a person", "姓名"),
    Entity("TITLE", _L2, "pd:Name", "Form of address", "称谓"),
    Entity("AGE", _L3, "pd:AgeExact", "Age", "年龄"),
    Entity("BIRTH_DATE", _L3, "pd:BirthDate", "Date of birth", "出生日期"),
    Entity("NRP", _L3, "pd:GroupMembership", "Nationality, religious or political group", "国籍、宗教或政治团体"),
    Entity("ADDRESS", _L3, "pd:PhysicalAddress", "Street address", "详细地址"),
    Entity("LOCATION", _L2, "pd:Location", "Place", "地点"),
    Entity("ZIP_CODE", _L2, "pd:PostalCode", "Postal code", "邮政编码"),
    Entity("ORGANIZATION", _L2, "pd:CurrentEmployment", "Organisation", "组织机构"),
    Entity("DATE_TIME", _L2, "pd:Historical", "Date or time", "日期或时间"),
    Entity("EMAIL_ADDRESS", _L3, "pd:EmailAddress", "E-mail address", "电子邮箱"),
    Entity("PHONE_NUMBER", _L3, "pd:TelephoneNumber", "Telephone number", "电话号码"),
    Entity("CN_MOBILE", _L3, "pd:TelephoneNumber", "Mobile number (China)", "手机号码"),
    Entity("CN_LANDLINE", _L3, "pd:TelephoneNumber", "Landline number (China)", "固定电话"),
    Entity("URL", _L2, "pd:LinkClicked", "Web address", "网址"),
    Entity("IP_ADDRESS", _L3, "pd:IPAddress", "IP address", "IP地址"),
    Entity("MAC_ADDRESS", _L3, "pd:MACAddress", "MAC address", "MAC地址"),
    Entity("IMEI", _L3, "pd:DeviceBased", "Device number (IMEI)", "设备识别码（IMEI）"),
    Entity("UUID", _L2, "pd:UID", "Unique id (UUID)", "唯一标识（UUID）"),
    Entity("CN_WECHAT", _L3, "pd:Username", "WeChat id", "微信号"),
    Entity("CN_QQ", _L3, "pd:Username", "QQ number", "QQ号"),
    Entity("CN_ALIPAY", _L4, "pd:FinancialAccount", "Alipay account", "支付宝账号"),
    Entity("CN_COURIER_NUMBER", _L3, "pd:Transaction", "Courier tracking number", "快递单号"),
    Entity("CN_PLATE", _L3, "pd:VehicalLicenseRegistration", "Vehicle plate (China)", "车牌号"),
    Entity("CN_USCC", _L2, "pd:Identifier", "Unified social credit code", "统一社会信用代码"),
    Entity("CREDIT_CARD", _L4, "pd:PaymentCardNumber", "Payment card number", "支付卡号"),
    Entity("CN_BANK_CARD", _L4, "pd:PaymentCardNumber", "Bank card number (China)", "银行卡号"),
    Entity("IBAN_CODE", _L4, "pd:FinancialAccountNumber", "Bank account (IBAN)", "国际银行账号（IBAN）"),
    Entity("CRYPTO", _L4, "pd:FinancialAccount", "Crypto wallet", "加密货币钱包地址"),
    Entity("ABA_ROUTING_NUMBER", _L2, "pd:Financial", "Bank routing number (USA)", "美国银行路由号"),
    Entity("US_BANK_NUMBER", _L4, "pd:FinancialAccountNumber", "Bank account (USA)", "美国银行账号"),
    Entity("CN_RESIDENT_ID", _L4, "pd:OfficialID", "Resident identity number", "居民身份证号码"),
    Entity("CN_PASSPORT", _L4, "pd:Passport", "Passport number", "护照号码"),
    Entity("CN_HK_MACAO_PERMIT", _L4, "pd:OfficialID", "Travel permit, Hong Kong and Macao", "港澳通行证号码"),
    Entity("CN_TAIWAN_PERMIT", _L4, "pd:OfficialID", "Travel permit, Taiwan", "台湾通行证号码"),
    Entity("CN_MILITARY_ID", _L4, "pd:OfficialID", "Military identity card", "军人证件号码"),
    Entity("CN_HOUSEHOLD_BOOK", _L4, "pd:OfficialID", "Household register number", "户口簿编号"),
    Entity("CN_DRIVING_LICENCE", _L4, "pd:OfficialID", "Driving licence number", "驾驶证号码"),
    Entity("CN_LICENCE", _L3, "pd:ProfessionalCertification", "Licence to practise", "执业或资格证号"),
    Entity("US_SSN", _L4, "pd:OfficialID", "Social security number (USA)", "美国社会保障号"),
    Entity("US_ITIN", _L4, "pd:OfficialID", "Taxpayer number (USA)", "美国纳税人识别号"),
    Entity("US_PASSPORT", _L4, "pd:Passport", "Passport number (USA)", "美国护照号码"),
    Entity("US_DRIVER_LICENSE", _L4, "pd:OfficialID", "Driving licence number (USA)", "美国驾驶证号码"),
    Entity("US_MBI", _L4, "pd:OfficialID", "Medicare number (USA)", "美国医疗保险号"),
    Entity("US_NPI", _L3, "pd:ProfessionalCertification", "Health provider number (USA)", "美国医疗人员编号"),
    Entity("MEDICAL_LICENSE", _L3, "pd:ProfessionalCertification", "Medical licence (USA)", "美国行医执照"),
    Entity("UK_NHS", _L4, "pd:OfficialID", "NHS number (UK)", "英国国民保健号"),
    Entity("UK_NINO", _L4, "pd:OfficialID", "National insurance number (UK)", "英国国民保险号"),
    Entity("UK_PASSPORT", _L4, "pd:Passport", "Passport number (UK)", "英国护照号码"),
    Entity("UK_DRIVING_LICENCE", _L4, "pd:OfficialID", "Driving licence number (UK)", "英国驾驶证号码"),
)  # fmt: skip

ENTITIES: Final[Mapping[str, Entity]] = MappingProxyType({entity.name: entity for entity in _ALL})


def entity(name: str) -> Entity:
    """The kind of that name; of a name not in the table, an identifier at the highest level."""
    known = ENTITIES.get(name)
    return known if known is not None else Entity(name, _L4, "pd:Identifier", name, name)
