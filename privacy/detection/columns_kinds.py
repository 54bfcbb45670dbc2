"""What a column may hold: each kind with its category, level, role and the way a manifest would declare it.

Categories are terms of W3C DPV 2.3 (`privacy.vocabulary`). A kind is sensitive where its category is one that PIPL 28
or GDPR 9 names. Levels follow GB/T 43697 as `privacy.levels` has them: official numbers are L4 although the national
list of sensitive information leaves them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from privacy.levels import Level
from privacy.vocabulary import SENSITIVE


class Role(StrEnum):
    """What a column does to a person's anonymity. Where two apply, the earlier one counts."""

    SENSITIVE = "sensitive"  # PIPL 28, GDPR 9: biometrics, faith, identity, health, accounts, tracks, under 14
    DIRECT = "direct"  # tells who it is, alone
    QUASI = "quasi"  # tells who it is, with others
    NONE = "none"


class Form(StrEnum):
    """What cells must look like before a column's name is believed."""

    ANY = "any"
    DIGITS = "digits"  # mostly digits: numbers of telephones, accounts, documents
    WORDS = "words"  # letters and no digit
    TEXT = "text"  # not a number, not a date
    DATE = "date"
    NUMBER = "number"
    CODE = "code"  # without a space, with a digit or a letter


@dataclass(frozen=True, slots=True)
class Kind:
    """`name` is also what the field is called when its header has no Latin letter; `detect` names a recogniser."""

    name: str
    zh: str
    en: str
    category: str
    level: Level
    role: Role
    form: Form = Form.ANY
    detect: str | None = None
    lookup: bool = False
    mask: str | None = None
    analytics: str | None = None
    scan: bool = False


_COUNTED = "quasi"
_FOR_ANALYTICS: Final = ("quasi", "sensitive", "keep", "drop")


def _kind(
    name: str,
    zh: str,
    en: str,
    category: str,
    level: Level,
    what: str,
    form: Form,
    detect: str | None,
    mask: str | None,
) -> Kind:
    """`what` holds the words lookup, scan, and one of the words of `analytics`; the role follows from them."""
    words = what.split()
    analytics = next((word for word in words if word in _FOR_ANALYTICS), None)
    if category in SENSITIVE:
        role = Role.SENSITIVE
    elif "direct" in words:
        role = Role.DIRECT
    else:
        role = Role.QUASI if analytics == "quasi" else Role.NONE
    return Kind(name, zh, en, category, level, role, form, detect, "lookup" in words, mask, analytics, "scan" in words)


def _all() -> Mapping[str, Kind]:
    l2, l3, l4 = Level.L2, Level.L3, Level.L4
    digits, words, text, code, any_ = Form.DIGITS, Form.WORDS, Form.TEXT, Form.CODE, Form.ANY
    number, day = Form.NUMBER, Form.DATE
    who = "direct lookup drop"
    rows: tuple[tuple[str, str, str, str, Level, str, Form, str | None, str | None], ...] = (
        # direct
        ("name", "姓名", "Name", "pd:Name", l3, who, words, "PERSON", "name"),
        ("phone", "手机号", "Mobile number", "pd:TelephoneNumber", l3, who, digits, "CN_MOBILE", "phone"),
        ("telephone", "电话", "Telephone number", "pd:TelephoneNumber", l3, who, digits, "PHONE_NUMBER", "phone"),
        ("landline", "固定电话", "Landline", "pd:TelephoneNumber", l3, who, digits, "CN_LANDLINE", "phone"),
        ("email", "电子邮箱", "Email address", "pd:EmailAddress", l3, who, text, "EMAIL_ADDRESS", "email"),
        ("id_number", "身份证号", "Identity card number", "pd:OfficialID", l4, who, code, "CN_RESIDENT_ID", "id"),
        ("document_number", "证件号码", "Document number", "pd:OfficialID", l4, who, code, None, "id"),
        ("passport", "护照号", "Passport number", "pd:Passport", l4, who, code, "CN_PASSPORT", "id"),
        ("permit", "通行证号", "Travel permit", "pd:OfficialID", l4, who, code, "CN_HK_MACAO_PERMIT", "id"),
        ("military_id", "军官证号", "Military ID", "pd:OfficialID", l4, who, any_, "CN_MILITARY_ID", "id"),
        ("driving_licence", "驾驶证号", "Driving licence", "pd:OfficialID", l4, who, code, "CN_DRIVING_LICENCE", "id"),
        ("ssn", "社会保障号", "Social security number", "pd:OfficialID", l4, who, code, "US_SSN", "id"),
        ("tax_number", "纳税人识别号", "Tax number", "pd:Tax", l4, who, code, None, "id"),
        ("credit_code", "统一社会信用代码", "Unified social credit code", "pd:OfficialID", l3, who, code, "CN_USCC",
         "id"),
        ("plate", "车牌号", "Vehicle plate", "pd:VehicalLicenseRegistration", l3, who, code, "CN_PLATE", "all"),
        ("imei", "设备号", "IMEI", "pd:DeviceBased", l3, who, digits, "IMEI", "all"),
        ("device_id", "设备标识", "Device identifier", "pd:DeviceBased", l3, who, code, None, "all"),
        ("mac_address", "MAC 地址", "MAC address", "pd:MACAddress", l3, who, code, "MAC_ADDRESS", "all"),
        ("ip_address", "IP 地址", "IP address", "pd:IPAddress", l3, who, code, "IP_ADDRESS", "all"),
        ("wechat", "微信号", "WeChat account", "pd:Username", l3, who, code, "CN_WECHAT", "all"),
        ("qq", "QQ 号", "QQ number", "pd:Username", l3, who, digits, "CN_QQ", "all"),
        ("alipay", "支付宝账号", "Alipay account", "pd:FinancialAccount", l4, "lookup drop", text, "CN_ALIPAY", "all"),
        ("username", "用户名", "User name", "pd:Username", l3, who, text, None, "all"),
        ("person_id", "人员编号", "Number of the person", "pd:UID", l3, who, code, None, None),
        ("address", "地址", "Postal address", "pd:PhysicalAddress", l3, "direct drop", text, "ADDRESS", "address"),
        ("signature", "签名", "Signature", "pd:Identifying", l3, "direct drop", any_, None, "all"),
        ("photo", "照片", "Picture", "pd:Picture", l3, "direct drop", any_, None, "all"),
        # sensitive: PIPL 28, GDPR 9
        ("bank_card", "银行卡号", "Payment card number", "pd:PaymentCardNumber", l4, "lookup drop", digits,
         "CN_BANK_CARD", "card"),
        ("bank_account", "银行账号", "Bank account", "pd:BankAccount", l4, "lookup drop", code, None, "card"),
        ("iban", "国际银行账号", "IBAN", "pd:FinancialAccountNumber", l4, "lookup drop", code, "IBAN_CODE", "id"),
        ("credit_score", "信用评分", "Credit score", "pd:CreditScore", l4, "sensitive", any_, None, "all"),
        ("password", "密码", "Password", "pd:Password", l4, "drop", any_, None, "all"),
        ("verification_code", "验证码", "Verification code", "pd:PINCode", l4, "drop", any_, None, "all"),
        ("diagnosis", "诊断", "Diagnosis", "pd:HealthRecord", l4, "sensitive", text, None, "all"),
        ("medical_number", "病历号", "Medical record number", "pd:HealthRecord", l4, "lookup drop", code, None, "id"),
        ("medication", "用药", "Medication", "pd:Prescription", l4, "sensitive", text, None, "all"),
        ("allergy", "过敏史", "Allergies", "pd:HealthHistory", l4, "sensitive", text, None, "all"),
        ("health", "健康状况", "Health", "pd:Health", l4, "sensitive", any_, None, "all"),
        ("disability", "残疾", "Disability", "pd:Disability", l4, "sensitive", any_, None, "all"),
        ("blood_type", "血型", "Blood type", "pd:BloodType", l4, "sensitive", text, None, "all"),
        ("ethnicity", "民族", "Ethnic group", "pd:EthnicOrigin", l4, "sensitive", words, None, "all"),
        ("religion", "宗教信仰", "Religion", "pd:Religion", l4, "sensitive", words, None, "all"),
        ("political_status", "政治面貌", "Political affiliation", "pd:PoliticalAffiliation", l4, "sensitive", words,
         None, "all"),
        ("union_member", "工会会员", "Trade union", "pd:TradeUnionMembership", l4, "sensitive", any_, None, "all"),
        ("sexual_orientation", "性取向", "Sexual orientation", "pd:SexualPreference", l4, "sensitive", text, None,
         "all"),
        ("criminal_record", "犯罪记录", "Criminal record", "pd:Criminal", l4, "sensitive", any_, None, "all"),
        ("fingerprint", "指纹", "Fingerprint", "pd:Fingerprint", l4, "drop", any_, None, "all"),
        ("face", "人脸", "Facial features", "pd:FacialPrint", l4, "drop", any_, None, "all"),
        ("iris", "虹膜", "Iris", "pd:Retina", l4, "drop", any_, None, "all"),
        ("biometric", "生物识别信息", "Biometrics", "pd:Biometric", l4, "drop", any_, None, "all"),
        ("gene", "基因", "Genetic data", "pd:Genetic", l4, "drop", any_, None, "all"),
        ("track", "行踪轨迹", "Track", "pd:TravelHistory", l4, "drop", any_, None, "all"),
        # quasi
        ("birth_date", "出生日期", "Date of birth", "pd:BirthDate", l3, _COUNTED, day, "BIRTH_DATE", "all"),
        ("age", "年龄", "Age", "pd:AgeExact", l3, _COUNTED, number, None, None),
        ("gender", "性别", "Gender", "pd:Gender", l3, _COUNTED, any_, None, None),
        ("nationality", "国籍", "Nationality", "pd:Nationality", l3, _COUNTED, words, None, None),
        ("marital_status", "婚姻状况", "Marital status", "pd:MaritalStatus", l3, _COUNTED, any_, None, None),
        ("education", "学历", "Education", "pd:EducationQualification", l3, _COUNTED, text, None, None),
        ("school", "学校", "School", "pd:School", l3, _COUNTED, text, None, None),
        ("job", "职业", "Occupation", "pd:Job", l3, _COUNTED, text, None, None),
        ("employer", "工作单位", "Employer", "pd:CurrentEmployment", l3, _COUNTED, text, "ORGANIZATION", None),
        ("city", "城市", "City", "pd:City", l3, _COUNTED, words, None, None),
        ("district", "区县", "District", "pd:Locality", l3, _COUNTED, words, None, None),
        ("province", "省份", "Province or state", "pd:Region", l3, _COUNTED, words, None, None),
        ("country", "国家或地区", "Country", "pd:Country", l3, _COUNTED, words, None, None),
        ("birthplace", "籍贯", "Place of birth", "pd:BirthPlace", l3, _COUNTED, words, None, None),
        ("postcode", "邮政编码", "Postal code", "pd:PostalCode", l3, _COUNTED, code, "ZIP_CODE", None),
        ("coordinate", "经纬度", "Coordinates", "pd:GPSCoordinate", l3, _COUNTED, any_, None, "all"),
        ("height", "身高", "Height", "pd:Height", l3, _COUNTED, number, None, None),
        ("weight", "体重", "Weight", "pd:Weight", l3, _COUNTED, number, None, None),
        ("vehicle", "车型", "Vehicle", "pd:CarOwned", l3, _COUNTED, text, None, None),
        ("language", "语言", "Language", "pd:Language", l3, _COUNTED, text, None, None),
        ("moment", "时间", "Time", "pd:ServiceConsumptionBehaviour", l2, _COUNTED, day, None, None),
        # personal, and neither tells who it is
        ("salary", "薪资", "Salary", "pd:Salary", l3, "sensitive", any_, None, "all"),
        ("income", "收入", "Income", "pd:Income", l3, "sensitive", any_, None, "all"),
        ("amount", "金额", "Amount", "pd:Transaction", l3, "sensitive", number, None, None),
        ("balance", "余额", "Balance", "pd:FinancialStatus", l3, "sensitive", number, None, "all"),
        ("order_number", "订单号", "Order number", "pd:Purchase", l3, "lookup drop", code, None, None),
        ("courier_number", "快递单号", "Courier number", "pd:Transaction", l3, "lookup drop", code, "CN_COURIER_NUMBER",
         "all"),
        ("user_agent", "浏览器标识", "User agent", "pd:UserAgent", l3, "drop", text, None, "all"),
        ("link", "链接", "Link", "pd:LinkClicked", l2, "drop", text, "URL", None),
        ("rating", "评分", "Rating", "pd:Opinion", l2, "sensitive", any_, None, None),
        ("feedback", "反馈", "Feedback", "pd:Opinion", l3, "drop scan", text, None, None),
        ("tags", "标签", "Tags", "pd:Profile", l3, "drop", text, None, None),
        ("interest", "兴趣", "Interests", "pd:Interest", l3, "keep", text, None, None),
        ("text", "文本", "Free text", "pd:Communication", l3, "drop scan", text, None, None),
        # not said of a person
        ("record_number", "编号", "Number of the record", "dpv:PersonalData", l2, "drop", code, None, None),
        ("thing", "名称", "Name of a thing", "dpv:PersonalData", l2, "keep", text, None, None),
        ("product", "商品", "Product", "pd:Purchase", l2, "keep", text, None, None),
        ("count", "数量", "Count", "dpv:PersonalData", l2, "keep", number, None, None),
        ("choice", "类别", "Kind or state", "dpv:PersonalData", l2, "keep", any_, None, None),
        ("channel", "渠道", "Channel", "pd:CommunicationsMetadata", l2, "keep", text, None, None),
    )  # fmt: skip
    return MappingProxyType({row[0]: _kind(*row) for row in rows})


KINDS: Final = _all()
