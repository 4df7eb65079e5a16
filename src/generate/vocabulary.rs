//! The words that generated events are made of. Texts are JSON already: escapes in them are part of the test data.

/// Names of events, the frequent ones more than once.
pub(super) const EVENT_NAMES: &[&str] = &[
    "page_view",
    "page_view",
    "page_view",
    "page_view",
    "page_view",
    "page_view",
    "page_view",
    "page_view",
    "product_view",
    "product_view",
    "product_view",
    "search",
    "link_click",
    "video_play",
    "add_to_cart",
    "add_to_cart",
    "remove_from_cart",
    "begin_checkout",
    "purchase",
    "newsletter_signup",
];

/// Path and title of pages.
pub(super) const PAGES: &[(&str, &str)] = &[
    ("/", "Home"),
    ("/", "Welcome back \\uD83D\\uDC4B"),
    ("/books", "Books \\u2013 all categories"),
    ("/books/crime", "Crime & thrillers"),
    ("/books/crime/the-long-night", "\\\"The Long Night\\\" by A. Okafor"),
    ("/books/science/fungi", "Fungi: what grows beneath us"),
    ("/books/travel/r%C3%A9union", "La R\\u00e9union, l'\\u00eele intense"),
    ("/books/travel/kyoto", "京都の四季"),
    ("/books/kids/moon", "Гуляем по Луне 🌙"),
    ("/music", "Music | Vinyl, CD & more"),
    ("/music/vinyl/blue-hour", "Blue Hour (180g) \\/ limited"),
    ("/music/vinyl/naranja", "Canción de la Niña 🎶"),
    ("/games", "Games 🎲 for 2\\u20136 players"),
    ("/games/board/hanseatic", "Hanseatic: Kaufleute & Händler"),
    ("/games/board/dune-sea", "Dune Sea\\tDeluxe"),
    ("/home/lamps/nordlys", "Nordlys bordlampe – messing"),
    ("/home/mugs/cat", "Mug \\\"Cat \\ud83d\\udc31\\\", 0.3 l"),
    ("/home/chairs/c2", "Chair C\\\\2, oak"),
    ("/search", "Search results"),
    ("/search", "نتائج البحث"),
    ("/cart", "Your cart"),
    ("/checkout", "Checkout \\u2013 step 1 of 3"),
    ("/checkout/payment", "Payment 🔒"),
    ("/checkout/done", "Thank you!\\nYour order is on its way"),
    ("/account", "Your account"),
    ("/help/returns", "Returns & refunds: 30 days, no questions"),
];

/// Titles with bytes that are not UTF-8: Latin-1, a cut sequence, a lone surrogate, bytes that never occur.
pub(super) const BROKEN_TITLES: &[&[u8]] = &[b"Caf\xe9 culture", b"Sale \xf0\x9f\x8e", b"Mug \xed\xa0\xbd", b"\xff\xfeBooks"];

/// Referrers.
pub(super) const REFERRERS: &[&str] = &[
    "https://www.google.com/",
    "https://www.google.com/search?q=vinyl+blue+hour&hl=en",
    "https://duckduckgo.com/",
    "https://www.bing.com/search?q=hanseatic+board+game",
    "https://news.ycombinator.com/item?id=41234567",
    "https://t.co/9aQx2LmVtE",
    "https://l.instagram.com/?u=https%3A%2F%2Fshop.example%2Fgames",
    "https://shop.example/",
    "https://shop.example/books",
    "https://shop.example/search?q=lamp&page=2",
];

/// Country, city, latitude and longitude in ten-thousandths of a degree.
pub(super) const PLACES: &[(&str, &str, i64, i64)] = &[
    ("DE", "Berlin", 525_200, 134_050),
    ("DE", "M\\u00fcnchen", 481_351, 115_820),
    ("AT", "Wien", 482_082, 163_738),
    ("CH", "Zürich", 473_769, 85_417),
    ("FR", "Paris", 488_566, 23_522),
    ("FR", "Saint-\\u00c9tienne", 454_397, 43_872),
    ("GB", "London", 515_074, -1_278),
    ("IE", "Dublin", 533_498, -62_603),
    ("ES", "A Coruña", 433_623, -84_115),
    ("PL", "Łódź", 517_592, 194_560),
    ("DK", "København", 556_761, 125_683),
    ("TR", "İstanbul", 410_082, 289_784),
    ("US", "New York", 407_128, -740_060),
    ("US", "Coeur d'Alene", 476_777, -1_167_805),
    ("BR", "São Paulo", -235_505, -466_333),
    ("JP", "東京", 356_762, 1_396_503),
    ("AU", "Sydney", -338_688, 1_512_093),
];

/// Type, system, browser, screen width and height of devices, and their (shortened) user agent.
pub(super) const DEVICES: &[(&str, &str, &str, u32, u32, &str)] = &[
    ("desktop", "Windows", "Chrome", 1920, 1080, "Mozilla/5.0 (Windows NT 10.0) Chrome/131.0.0.0"),
    ("desktop", "Windows", "Edge", 2560, 1440, "Mozilla/5.0 (Windows NT 10.0) Edg/131.0.0.0"),
    ("desktop", "macOS", "Safari", 1728, 1117, "Mozilla/5.0 (Macintosh) Safari/605.1.15"),
    ("desktop", "Linux", "Firefox", 1920, 1200, "Mozilla/5.0 (X11; Linux x86_64) Firefox/132.0"),
    ("phone", "iOS", "Safari", 390, 844, "Mozilla/5.0 (iPhone; OS 18_1) Mobile/15E148"),
    ("phone", "Android", "Chrome", 412, 915, "Mozilla/5.0 (Android 10; K) Chrome/131.0.0.0"),
    ("phone", "Android", "Samsung Internet", 360, 780, "Mozilla/5.0 (Android 10) SamsungBrowser/26.0"),
    ("tablet", "iPadOS", "Safari", 1024, 1366, "Mozilla/5.0 (iPad; OS 18_1) Mobile/15E148"),
    ("bot", "other", "Googlebot", 0, 0, "Googlebot/2.1 (+http://www.google.com/bot.html)"),
];

/// Number, name and price in cents of products.
pub(super) const PRODUCTS: &[(&str, &str, u64)] = &[
    ("BK-10442", "The Long Night", 1_499),
    ("BK-10977", "Fungi: what grows beneath us", 2_895),
    ("BK-20031", "京都の四季", 3_200),
    ("BK-20518", "La R\\u00e9union", 1_990),
    ("BK-30007", "Mond & Meer", 990),
    ("VN-00180", "Blue Hour (180g)", 2_999),
    ("VN-00233", "Canción de la Niña", 2_450),
    ("GM-07001", "Hanseatic", 4_995),
    ("GM-07014", "Dune Sea \\\"Deluxe\\\"", 12_900),
    ("GM-07100", "Dice set 🎲", 5),
    ("HM-51020", "Nordlys bordlampe", 34_900),
    ("HM-51311", "Cat mug, 0.3 l", 1_200),
    ("HM-59999", "Chair C\\\\2, oak", 129_000),
    ("GC-00000", "Gift card", 5_000),
];

/// Keys of attributes, each with the texts it can have. The keys are data: which of them an event has varies.
pub(super) const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("utm_source", &["google", "newsletter", "instagram", "bing", "partner-17"]),
    ("utm_medium", &["cpc", "email", "social", "organic", "affiliate"]),
    ("utm_campaign", &["black-friday-2026", "winter sale ❄", "always-on", "re\\u00e9ngage"]),
    ("utm_term", &["vinyl", "board+game", "lamp"]),
    ("utm_content", &["hero", "footer", "carousel-2"]),
    ("gclid", &["Cj0KCQiA4L67BhDUARIsADWrl7", "EAIaIQobChMI8dX2z"]),
    ("fbclid", &["IwAR2xK8mQ0vTg", "IwY2xjawGq"]),
    ("experiment_checkout_v3", &["control", "treatment"]),
    ("experiment_search_rank", &["control", "bm25", "dense"]),
    ("experiment_price_badge", &["a", "b", "c"]),
    ("experiment_new_nav", &["on", "off"]),
    ("experiment_free_shipping", &["29", "39", "49"]),
    ("feature_dark_mode", &["true", "false"]),
    ("feature_wishlist", &["true"]),
    ("ab_bucket", &["0", "17", "42", "99"]),
    ("affiliate_id", &["af-1009", "af-2231"]),
    ("coupon", &["WELCOME10", "FREUNDE-5", ""]),
    ("currency", &["EUR", "GBP", "USD", "JPY"]),
    ("store", &["de", "uk", "us"]),
    ("search_query", &["blue hour", "lampe \\\"messing\\\"", "\\u732b", "c\\\\2"]),
    ("search_results", &["0", "3", "128"]),
    ("sort_order", &["relevance", "price_asc", "price_desc"]),
    ("filter.brand", &["nordlys", "okafor"]),
    ("filter.price", &["10-50", "50-100"]),
    ("scroll_depth", &["25", "50", "75", "100"]),
    ("video_id", &["v-8812", "v-9003"]),
    ("video_position", &["0.0", "12.48", "118.2"]),
    ("form_id", &["newsletter-footer", "checkout-address"]),
    ("error_code", &["PAY-402", "ADDR-07"]),
    ("A/B note", &["first visit; see ticket", "line one\\nline two"]),
];

/// Collectors that took events in.
pub(super) const COLLECTORS: &[&str] = &["c-3.2.0/1a", "c-3.2.0/1b", "c-3.2.1/1c"];

/// Documents that are no JSON objects.
pub(super) const NOT_OBJECTS: &[&str] = &["42", "\"text\"", "-0.5", "\"health check \\u2713\""];
