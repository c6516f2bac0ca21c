"""The words that made-up receipts are put together from. Written by hand for this file; no receipt was copied.

How often a word is used is decided in ``merchants.py`` and ``generator.py``.
"""

from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.upper().split())


SYLLABLES = _words(
    "bar ben bri cal cor dal del dor el fal fen gar gla hal hol in jor kel kin lan lor mal mer mon nal nor ol pel per "
    "quin ral ren ros sal sel sto tal tem tor ul val ven wal wen wyn yar zel"
)
ENDINGS = _words(
    "a berg by dale den don ey fax ford ham ia in la ley low man mond ner o ray ric son ston ter ton ville way wick "
    "wood worth"
)
"""A proper name (of a merchant, a street, a town, a brand, a person) is one or two syllables and an ending."""

STREETS = ("ROAD", "STREET", "LANE", "AVENUE", "SQUARE", "DRIVE", "ROW", "TERRACE", "QUAY", "CLOSE")
PLACES = ("SHOPPING CENTRE", "RETAIL PARK", "INDUSTRIAL ESTATE", "OLD TOWN", "STATION ARCADE", "MARKET HALL", "PLAZA")
LEGAL = ("LTD", "LTD.", "LIMITED", "(S) PTE LTD", "PTE. LTD.", "& SONS", "& CO.", "INC", "GROUP", "")


@dataclass(frozen=True, kw_only=True)
class Trade:
    """What one kind of shop is called and sells.

    Attributes:
        names: the word after the proper name of the shop.
        nouns: of its products.
        adjectives: before them.
        sizes: after them; ``#`` stands for a digit from 1 to 9.
        price: the median price of a product.
        uses_bar_codes: else products have short codes or none.
        is_served: has tables, as restaurants have.
    """

    names: tuple[str, ...]
    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]
    sizes: tuple[str, ...]
    price: float
    uses_bar_codes: bool = True
    is_served: bool = False


TRADES = (
    Trade(
        names=("MARKET", "SUPERMARKET", "GROCERS", "MINI MART", "FOODS", "FRESH"),
        nouns=_words(
            "MILK BREAD RICE FLOUR SUGAR EGGS BUTTER CHEESE YOGURT APPLES PEARS BANANAS CARROTS ONIONS POTATOES "
            "TOMATOES SPINACH NOODLES BISCUITS CRISPS JUICE WATER COLA TEA COFFEE JAM HONEY SALT PEPPER OIL VINEGAR "
            "SOUP BEANS TUNA SARDINES CHICKEN SAUSAGES HAM TISSUE SOAP SHAMPOO TOOTHPASTE DETERGENT BLEACH SPONGE "
            "NAPKINS CANDLES BATTERIES CHOCOLATE SWEETS"
        ),
        adjectives=_words("FRESH ORGANIC WHOLE LIGHT SALTED BROWN WHITE RED GREEN SMOKED SLICED FAMILY LARGE"),
        sizes=("#00G", "#KG", "#L", "#00ML", "#X#0G", "#PK", "#0G", "#.#L", "P#", "#S"),
        price=4.9,
    ),
    Trade(
        names=("HARDWARE", "HOME & TOOLS", "BUILDING SUPPLY", "ELECTRICAL", "PAINTS", "IRONMONGERS"),
        nouns=_words(
            "NAILS SCREWS BOLTS NUTS WASHERS HINGE HAMMER SAW DRILL CHISEL PLIERS SPANNER TAPE ROPE CHAIN WIRE CABLE "
            "SOCKET SWITCH PLUG BULB LAMP PIPE ELBOW VALVE TAP HOSE BUCKET BRUSH ROLLER PRIMER VARNISH CEMENT SAND "
            "PLYWOOD HANDLE LOCK KEY GLOVES LADDER SHOVEL TROLLEY GLUE SEALANT FILTER FUSE CLAMP BRACKET"
        ),
        adjectives=_words("STEEL BRASS COPPER PLASTIC GALVANISED HEAVY MINI DOUBLE FLAT ROUND BLACK CLEAR"),
        sizes=("#MM", "#X#0MM", '#"', "#M", "#.#MM", "#0W", "#PCS", "NO.#", "#/#", "M#", "#00ML", '#"X#"', "#0A"),
        price=8.5,
    ),
    Trade(
        names=("RESTAURANT", "KITCHEN", "BISTRO", "GRILL", "EATING HOUSE", "DINER", "CAFE"),
        nouns=_words(
            "SOUP SALAD CURRY STEW PIE PASTA PIZZA BURGER STEAK CHOPS WINGS FISH PRAWNS SQUID DUCK LAMB PORK TOFU "
            "OMELETTE PANCAKE WAFFLE SANDWICH FRIES RICE NOODLES DUMPLINGS BROTH COFFEE LATTE TEA LEMONADE SMOOTHIE "
            "CIDER BEER WINE SORBET PUDDING TART CAKE BROWNIE"
        ),
        adjectives=_words("HOT COLD ICED FRIED GRILLED ROAST SPICY SWEET SOUR STEAMED CREAMY DAILY HOUSE"),
        sizes=("(L)", "(S)", "(M)", "SET #", "X#", "#PC", "TAKE AWAY", "REGULAR", "HALF"),
        price=9.8,
        uses_bar_codes=False,
        is_served=True,
    ),
    Trade(
        names=("BOOKS", "STATIONERY", "PAPER & PENS", "BOOKSHOP", "GIFTS", "OFFICE SUPPLY"),
        nouns=_words(
            "PEN PENCIL ERASER RULER NOTEBOOK FOLDER BINDER STAPLER CLIPS ENVELOPE PAPER CARD MARKER CRAYONS PAINT "
            "SCISSORS CALCULATOR DIARY CALENDAR STICKERS RIBBON ATLAS DICTIONARY NOVEL COMIC MAGAZINE MAP GLOBE "
            "BALLOONS WRAPPER LABELS SHARPENER CHALK BOARD CANVAS EASEL"
        ),
        adjectives=_words("BLUE BLACK RED COLOUR FINE JUMBO POCKET LINED PLAIN GLOSSY SPIRAL CLASSIC"),
        sizes=("A#", "#0S", "#PCS", "#.#MM", "#00GSM", "B#", "#X#", "VOL #", "#0PG"),
        price=5.6,
    ),
    Trade(
        names=("PHARMACY", "CHEMIST", "HEALTH", "OPTICS", "CARE", "CLINIC"),
        nouns=_words(
            "TABLETS CAPSULES SYRUP LOTION CREAM OINTMENT PLASTERS BANDAGE DROPS SPRAY MASK VITAMINS ZINC CALCIUM "
            "LOZENGES THERMOMETER COTTON SUNSCREEN BALM SERUM CLEANSER TONER LENSES SOLUTION FRAME RAZOR FOAM COMB "
            "LIPSTICK MASCARA"
        ),
        adjectives=_words("MILD HERBAL EXTRA DAILY NIGHT JUNIOR SENSITIVE PURE AQUA GENTLE"),
        sizes=("#0ML", "#00MG", "#0S", "#X#0", "SPF#0", "#0G", "#00ML"),
        price=17.5,
    ),
    Trade(
        names=("BAKERY", "CONFECTIONERY", "PATISSERIE", "CAKES", "SWEET HOUSE"),
        nouns=_words(
            "LOAF ROLL BUN BAGUETTE CROISSANT MUFFIN SCONE DOUGHNUT TART ECLAIR COOKIE SPONGE ROULADE STRUDEL PRETZEL "
            "FLAPJACK MERINGUE TRUFFLE FUDGE CHEESECAKE"
        ),
        adjectives=_words("RYE OAT ALMOND LEMON VANILLA CINNAMON RAISIN GARLIC HAZELNUT BLUEBERRY MAPLE"),
        sizes=("X#", "#PC", "(L)", "(S)", "#00G"),
        price=3.4,
        uses_bar_codes=False,
    ),
    Trade(
        names=("FASHION", "SHOES", "OUTFITTERS", "TAILORS", "SPORTS", "TEXTILES"),
        nouns=_words(
            "SHIRT TROUSERS JEANS SKIRT DRESS JACKET COAT SCARF BELT SOCKS SHOES SANDALS BOOTS CAP HAT TIE VEST SHORTS "
            "PYJAMAS TOWEL BLANKET CURTAIN CUSHION BAG WALLET UMBRELLA RACKET BALL"
        ),
        adjectives=_words("COTTON LINEN DENIM WOOL SLIM LONG SHORT NAVY GREY STRIPED KIDS MENS LADIES"),
        sizes=("S", "M", "L", "XL", "SZ #", "#0CM", "UK#", "#/#"),
        price=29.0,
    ),
    Trade(
        names=("PETROL", "SERVICE STATION", "MOTORS", "CAR PARK", "AUTO PARTS", "TYRES"),
        nouns=_words("UNLEADED DIESEL PREMIUM ENGINE-OIL WASH PARKING TYRE WIPER COOLANT BULB MAT POLISH AIR"),
        adjectives=_words("FULL HALF PUMP SELF CITY LONG"),
        sizes=("#L", "PUMP #", "#HR", "#0W-#0", "R1#", "#.##L"),
        price=35.0,
        uses_bar_codes=False,
    ),
)

TITLES = ("TAX INVOICE", "INVOICE", "RECEIPT", "CASH RECEIPT", "CASH BILL", "SALES RECEIPT", "OFFICIAL RECEIPT")
NUMBER_LABELS = ("INVOICE NO", "RECEIPT NO", "BILL NO", "DOC NO.", "INV NO", "RECEIPT #", "SLIP NO.", "INV#", "REF NO")
DATE_LABELS = ("DATE", "DATE", "INVOICE DATE", "BILL DATE", "DATE/TIME", "TRANS. DATE")
TIME_LABELS = ("TIME", "TIME", "PRINTED AT")
CASHIER_LABELS = ("CASHIER", "CASHIER", "SERVED BY", "OPERATOR", "STAFF", "SALESPERSON", "USER")
PHONE_LABELS = ("TEL", "TEL.", "PHONE", "TEL NO.", "CALL")
REGISTRATION_LABELS = ("", "", "CO. REG.", "COMPANY NO.", "REG NO", "REGISTERED")
TAX_NUMBER_LABELS = ("VAT NO", "VAT REG NO", "VAT ID", "TAX ID", "VAT NO.")
HEADINGS = (
    ("ITEM", "QTY", "PRICE", "AMOUNT"),
    ("DESCRIPTION", "QTY", "U.PRICE", "AMOUNT"),
    ("QTY", "ITEM", "TOTAL"),
    ("CODE/ITEM", "PRICE", "DISC", "AMOUNT"),
    ("ITEM", "QTY", "UNIT PRICE", "AMOUNT", "TAX"),
    (),
)
SUBTOTAL_LABELS = (
    "SUBTOTAL",
    "SUB TOTAL",
    "SUB-TOTAL",
    "TOTAL EXCL. VAT",
    "TOTAL SALES (EXCLUDING VAT)",
    "GOODS TOTAL",
)
DISCOUNT_LABELS = ("DISCOUNT", "DISC", "LESS DISCOUNT", "TOTAL DISCOUNT")
TAX_LABELS = ("VAT 7%", "TOTAL VAT", "VAT", "VAT @7%", "ADD VAT 7%")
ROUNDING_LABELS = ("ROUNDING", "ROUNDING ADJ", "ROUND ADJ", "ROUNDING ADJUSTMENT")
TOTAL_LABELS = (
    "TOTAL",
    "TOTAL",
    "TOTAL AMOUNT",
    "GRAND TOTAL",
    "NET TOTAL",
    "TOTAL DUE",
    "TOTAL SALES (INCLUSIVE OF VAT)",
    "AMOUNT DUE",
    "TOTAL INCL. VAT",
)
PAID_LABELS = ("CASH", "CASH", "CASH", "CASH TENDERED", "PAID", "TENDER", "CASH RECEIVED")
CARD_LABELS = ("VISA", "CREDIT CARD", "DEBIT CARD", "MASTERCARD")
CHANGE_LABELS = ("CHANGE", "CHANGE", "CHANGE", "CHANGE DUE", "BALANCE")
QUANTITY_LABELS = ("TOTAL QTY", "NO. OF ITEMS", "ITEM COUNT", "ITEMS", "QTY SOLD", "TOTAL QUANTITY")
SUMMARY_TITLES = ("VAT SUMMARY", "TAX SUMMARY", "VAT ANALYSIS", "VAT SUMMARY")
SUMMARY_HEADINGS = (
    ("RATE", "AMOUNT", "TAX"),
    ("TAX CODE", "%", "AMOUNT", "TAX"),
    ("CODE", "NET", "VAT"),
    ("VAT CODE", "%", "AMT", "VAT"),
)
TAX_CODES = ("A", "S", "VS", "T")
FAREWELLS = (
    "THANK YOU",
    "THANK YOU",
    "PLEASE COME AGAIN",
    "THANK YOU, PLEASE COME AGAIN",
    "THANK YOU FOR YOUR VISIT",
    "HAVE A NICE DAY",
    "SEE YOU SOON",
    "THANKS FOR SHOPPING WITH US",
    "GOODS SOLD CANNOT BE RETURNED",
    "NO REFUND WITHOUT RECEIPT",
    "EXCHANGE WITHIN 14 DAYS WITH THIS RECEIPT",
    "KEEP THIS RECEIPT AS PROOF OF PURCHASE",
    "ALL PRICES INCLUDE VAT",
    "CUSTOMER COPY",
    "FOLLOW US ONLINE",
    "OPEN DAILY",
    "***",
    "---",
)
NOTICES = (
    "MEMBER OF THE {name} {third} GROUP",
    "WWW.{name}.EXAMPLE",
    "ASK FOR OUR {name} CARD AND COLLECT POINTS AT {third}",
    "LICENCE NO. {digits} ISSUED AT {other}",
    "TILL SYSTEM BY {name} {third} SOFTWARE",
    "CARE LINE 0800 {digits}",
    "FORMERLY KNOWN AS {name} {third} {other} TRADING",
    "WE ALSO SHIP TO {name}, {third} AND {other}",
    "NOW OPEN IN {name}, {third} {other} STREET",
    "MONDAY TO SATURDAY {hour}AM - {late}PM, SUNDAY CLOSED",
    "COMPLAINTS TO THE MANAGER, {name} {third}",
    "REFUNDS WITHIN {hour} DAYS IN ORIGINAL CONDITION ONLY",
    "OUR {name} {third} RANGE IS BACK IN STORE FOR A SHORT TIME",
    "TERMINAL {digits} BRANCH {name}",
    "BRANCH : {name} {other} (#{hour}{late})",
    "FAX : 0{hour}-{digits} MAIL {name}@{third}.EXAMPLE",
)
"""Of a shop; braces stand for what is its own."""
FIRST_NAMES = _words(
    "ADA BEN CARLA DAN ELSA FINN GRETA HUGO IDA JON KIM LEA MAX NINA OTTO PIA RUTH SAM TINA UMA VERA WILL YARA ZOE"
)
MISREAD = {
    "O": "0QD",
    "0": "OQ",
    "I": "1LT",
    "1": "IL",
    "S": "5",
    "5": "S",
    "B": "8R",
    "8": "B",
    "E": "FC",
    "M": "NH",
    "C": "GO",
    "G": "C6",
    "L": "I1",
    "T": "IY",
    "H": "NM",
    "D": "OB",
    "R": "PB",
    "A": "4H",
    "N": "MH",
    "U": "V",
    "P": "F",
    "Z": "2",
    "2": "Z",
    "V": "Y",
    "W": "V",
}
"""What a recognizer takes a character for."""
