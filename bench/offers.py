"""Offers for the benchmark of folding, and the SQL that folds them set by set.

The offers are made by the database itself, as Nivoda says them, in the canonical spellings: so the
yardstick may leave out what the mapping does to others, and still comes to the same catalogue.
"""

from bench import rules

PAYLOADS = """
    CREATE TABLE payloads AS
    SELECT n, 'DIAMOND/' || md5(n::text) AS offer_id, price, json_build_object(
           'id', 'DIAMOND/' || md5(n::text), 'price', price, 'discount', -3500,
           'markup_price', price, 'diamond', json_build_object(
               'id', md5(n::text), 'availability', 'AVAILABLE', 'image', NULL,
               'video', 'https://media.example/diamond/' || md5(n::text) || '/video/500/500',
               'eyeClean', 'YES', 'brown', 'NO', 'green', 'NO', 'milky', 'NO',
               'mine_of_origin', NULL,
               'supplier', json_build_object('id', (n % 300)::text, 'name', 'Supplier ' || n % 300),
               'delivery_time', json_build_object('express_timeline_applicable', false,
                   'min_business_days', 6, 'max_business_days', 9),
               'certificate', json_build_object('id', md5('c' || n), 'lab', 'GIA',
                   'certNumber', (6000000 + n)::text,
                   'pdfUrl', 'https://media.example/cert/' || n || '.pdf', 'shape', 'ROUND',
                   'carats', 1.06, 'color', 'E', 'f_color', NULL, 'f_intensity', NULL,
                   'f_overtone', NULL, 'clarity', 'VS1', 'cut', 'ID', 'polish', 'EX',
                   'symmetry', 'VG', 'floInt', 'NON', 'floCol', NULL, 'length', '6.550',
                   'width', '6.520', 'depth', '4.020', 'depthPercentage', '61.500',
                   'table', '57', 'girdle', 'MED - STK', 'culetSize', 'NON', 'labgrown', false,
                   'labgrown_type', NULL, 'treated', NULL, 'country_of_origin', NULL))) AS payload
      FROM (SELECT n, (5000 * power(400, (n::bigint * 7919 % 1000003) / 1000003.0))::bigint AS price
              FROM generate_series(1, :offers) AS n) AS s"""
DEARER = """
    UPDATE payloads
       SET payload = jsonb_set(payload::jsonb, '{price}', to_jsonb(price + 100))::json
     WHERE n % 10 = 0"""

RUN = """
    INSERT INTO runs (feed, kind, state) VALUES ('nivoda-natural', 'full', 'fetching')
    RETURNING run_id, landed_on"""
# One partition, its offers and its fold item; `before`: offers in the partitions before it.
PARTITION = """
    WITH part AS (
        INSERT INTO partitions (run_id, number, slice, planned_offers, landed, fetched_at)
        VALUES (:run_id, :number, '{}', :size, :size, now())
        RETURNING partition_id
    ), item AS (
        INSERT INTO work_items (kind, run_id, partition_id, attempts_max)
        SELECT 'fold', :run_id, partition_id, 4 FROM part
    ), landed AS (
        INSERT INTO raw_offers (landed_on, partition_id, position, offer_id, read_at, payload)
        SELECT :landed_on, part.partition_id, p.n - CAST(:before AS int) - 1,
               p.offer_id, now(), p.payload
          FROM payloads AS p
         CROSS JOIN part
         WHERE p.n > :before AND p.n <= :last
    )
    SELECT partition_id FROM part"""
DUE = "SELECT item_id, epoch FROM work_items WHERE kind = 'fold' AND state = 'due' ORDER BY 1"
END = "UPDATE runs SET state = 'complete', finished_at = now() WHERE run_id = :run_id"

COLUMNS = {
    "supplier_stone_id": "d.id", "kind": "'natural'", "labgrown_type": "c.labgrown_type",
    "treated": "c.treated", "lab": "c.lab", "certificate_number": 'c."certNumber"',
    "certificate_url": 'c."pdfUrl"', "shape": "c.shape", "carat": "c.carats", "color": "c.color",
    "clarity": "c.clarity", "cut": "c.cut", "polish": "c.polish", "symmetry": "c.symmetry",
    "fluorescence": 'c."floInt"', "fluorescence_color": 'c."floCol"', "length_mm": "c.length",
    "width_mm": "c.width", "depth_mm": "c.depth", "depth_percent": 'c."depthPercentage"',
    "table_percent": 'c."table"', "girdle": "c.girdle", "culet": 'c."culetSize"',
    "eye_clean": 'd."eyeClean"', "brown": "d.brown", "green": "d.green", "milky": "d.milky",
    "origin": "coalesce(d.mine_of_origin, c.country_of_origin)", "supplier_id": "s.id",
    "supplier_name": "s.name", "availability": "d.availability", "image_url": "d.image",
    "video_url": "d.video", "delivery_days_min": "t.min_business_days",
    "delivery_days_max": "t.max_business_days", "discount_bp": "o.discount",
    "cost_cents": "o.price", "cost_currency": "'USD'",
}  # fmt: skip

# Every document is taken apart once, level by level: the quickest that SQL offers for `json`.
FROM_RAW = """
      FROM raw_offers AS r
     CROSS JOIN LATERAL json_to_record(r.payload) AS o (id text, price bigint, discount bigint,
           diamond json)
     CROSS JOIN LATERAL json_to_record(o.diamond) AS d (id text, availability text, image text,
           video text, "eyeClean" text, brown text, green text, milky text, mine_of_origin text,
           supplier json, delivery_time json, certificate json)
     CROSS JOIN LATERAL json_to_record(d.supplier) AS s (id text, name text)
     CROSS JOIN LATERAL json_to_record(d.delivery_time) AS t (min_business_days bigint,
           max_business_days bigint)
     CROSS JOIN LATERAL json_to_record(d.certificate) AS c (lab text, "certNumber" text,
           "pdfUrl" text, shape text, carats numeric, color text, clarity text, cut text,
           polish text, symmetry text, "floInt" text, "floCol" text, length numeric,
           width numeric, depth numeric, "depthPercentage" numeric, "table" numeric, girdle text,
           "culetSize" text, labgrown_type text, treated boolean, country_of_origin text)
     WHERE r.landed_on = :landed_on AND r.partition_id = :partition_id"""


def set_based(found: list[rules.Bracket]) -> str:
    """One partition's fold as one statement: what is new or changed is written, the rest is not."""
    price, rule = rules.as_case(found, "m")
    names = [*COLUMNS, "price_cents", "price_currency", "rule", "ruleset_id", "mapping_version"]
    mapped = ", ".join(f"{said} AS {name}" for name, said in COLUMNS.items())
    ours = ", ".join(f"d.{name}" for name in names)
    theirs = ", ".join(f"excluded.{name}" for name in names)
    sets = ", ".join(f"{name} = excluded.{name}" for name in [*names, "read_at", "run_id"])
    return f"""
        INSERT INTO diamonds AS d (feed, offer_id, {", ".join(names)}, read_at, run_id)
        SELECT 'nivoda-natural', m.offer_id, {", ".join(f"m.{name}" for name in COLUMNS)},
               {price}, 'USD', {rule}, 1, 1, m.read_at, :run_id
          FROM (SELECT o.id AS offer_id, r.read_at, {mapped} {FROM_RAW}) AS m
        ON CONFLICT (feed, offer_id) DO UPDATE SET {sets}, changed_at = now()
         WHERE ROW({ours}) IS DISTINCT FROM ROW({theirs})"""
