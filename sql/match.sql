-- Pairs of a mixture and its instrumental: thesis ch. 3.5.2, eq. 3.1 and 3.4-3.6. GoogleSQL.
--
-- sql/statements.py puts in what stands in braces: the catalogue and its columns, quoted, and the
-- words of the rule, from `matching`. The parameters are unidecode's table and the rule's numbers.
--
-- Result rows are of three kinds: `pair`; `row`, a record of the catalogue as it stands that is
-- in a pair, has an error or shares its id with another; `count`, a name and a number.

WITH
source AS (
  SELECT
    {{record}} AS record,
    {{track_id}} AS track_id,
    {{artist_id}} AS artist_id,
    {{artist}} AS artist,
    {{title}} AS title,
    {{duration_s}} AS duration_s
  FROM {{catalogue}} AS {{record}}
),

checked AS (
  SELECT
    *,
    CASE
      WHEN track_id IS NULL THEN 'no_track_id'
      WHEN title IS NULL THEN 'no_title'
      WHEN artist_id IS NULL AND COALESCE(TRIM(artist, ' \t\n\v\f\r'), '') = '' THEN 'no_artist'
      WHEN duration_s IS NULL OR IS_NAN(duration_s) OR IS_INF(duration_s) OR duration_s <= 0
        THEN 'bad_duration'
    END AS error
  FROM source
),

-- Latin letters for all others, one letter at a time. Texts in ASCII never come here.
letters AS (
  SELECT SUBSTR(entry, 1, 1) AS letter, SUBSTR(entry, 2) AS latin
  FROM UNNEST(SPLIT(@latin, '\t')) AS entry
),

-- A long text goes by its hash, so as not to be copied with every letter of its own. A hash is
-- in ASCII and thus no other text's.
foreign_texts AS (
  SELECT text, IF(CHAR_LENGTH(text) > 64, TO_HEX(SHA256(text)), text) AS handle
  FROM (
    SELECT title AS text
    FROM checked
    WHERE error IS NULL AND BYTE_LENGTH(title) != CHAR_LENGTH(title)
    UNION DISTINCT
    SELECT artist AS text
    FROM checked
    WHERE error IS NULL AND artist_id IS NULL AND BYTE_LENGTH(artist) != CHAR_LENGTH(artist)
  )
),

foreign_letters AS (
  SELECT handle, letter, place AS position
  FROM foreign_texts, UNNEST(SPLIT(text, '')) AS letter WITH OFFSET AS place
),

latin_handles AS (
  SELECT
    handle,
    COALESCE(
      STRING_AGG(
        IF(BYTE_LENGTH(foreign_letters.letter) = 1, foreign_letters.letter, latin), ''
        ORDER BY position
      ),
      ''
    ) AS latin
  FROM foreign_letters
  LEFT JOIN letters ON letters.letter = foreign_letters.letter
  GROUP BY handle
),

latin_texts AS (
  SELECT foreign_texts.text, latin_handles.latin
  FROM foreign_texts
  JOIN latin_handles ON latin_handles.handle = foreign_texts.handle
),

-- Artist ids where the catalogue has none: the digest of one spelling of the name.
artist_texts AS (
  SELECT
    artists.artist,
    TRIM(LOWER(COALESCE(latin_texts.latin, artists.artist)), ' \t\n\v\f\r') AS text
  FROM (SELECT DISTINCT artist FROM checked WHERE error IS NULL AND artist_id IS NULL) AS artists
  LEFT JOIN latin_texts ON latin_texts.text = artists.artist
),

artist_keys AS (
  SELECT
    artist,
    COALESCE(
      NULLIF(
        REGEXP_REPLACE(
          REGEXP_REPLACE(REPLACE(text, '&', 'and'), r'^the\b', ''), r'[^a-z0-9]+', ''
        ),
        ''
      ),
      TRIM(artist, ' \t\n\v\f\r')
    ) AS artist_key
  FROM artist_texts
),

artist_ids AS (
  SELECT
    artist,
    SUBSTR(
      TO_HEX(SHA256(CONCAT(CAST(BYTE_LENGTH(artist_key) AS STRING), ':', artist_key))), 1, 32
    ) AS artist_id
  FROM artist_keys
),

named AS (
  SELECT
    checked.track_id,
    COALESCE(checked.artist_id, artist_ids.artist_id) AS artist_id,
    checked.title,
    checked.duration_s
  FROM checked
  LEFT JOIN artist_ids ON artist_ids.artist = checked.artist
  WHERE checked.error IS NULL
),

-- One track an id: of several the one that sorts first.
repeated AS (
  SELECT track_id, COUNT(*) AS times
  FROM checked
  WHERE error IS NULL
  GROUP BY track_id
  HAVING COUNT(*) > 1
),

kept_of_repeated AS (
  SELECT *
  FROM named
  WHERE EXISTS (SELECT 1 FROM repeated WHERE repeated.track_id = named.track_id)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY track_id ORDER BY title, artist_id, duration_s
  ) = 1
),

once AS (
  SELECT *
  FROM named
  WHERE NOT EXISTS (SELECT 1 FROM repeated WHERE repeated.track_id = named.track_id)
  UNION ALL
  SELECT *
  FROM kept_of_repeated
),

-- Fuzzy titles, step by step (eq. 3.5), and markers (eq. 3.1).
lowercase AS (
  SELECT
    once.track_id,
    once.artist_id,
    once.duration_s,
    LOWER(COALESCE(latin_texts.latin, once.title)) AS text
  FROM once
  LEFT JOIN latin_texts ON latin_texts.text = once.title
),

-- Leading spaces are no part of " - "; trailing ones need no care, for only letters will stay.
without_comments AS (
  SELECT
    * EXCEPT (text),
    REGEXP_EXTRACT(text, r'{{markers}}') AS marker,
    REGEXP_REPLACE(text, r'(?s)^[ \t\n\v\f\r]+|(?:[(\[]| - ).*', '') AS text
  FROM lowercase
),

with_words AS (
  SELECT * EXCEPT (text), REPLACE(text, '&', 'and') AS text
  FROM without_comments
),

with_digits AS (
  SELECT
    * EXCEPT (text),
    IF(REGEXP_CONTAINS(text, r'\b(?:{{numerals}})\b'), {{with_digits}}, text) AS text
  FROM with_words
),

tracks AS (
  SELECT
    * EXCEPT (text),
    REGEXP_REPLACE(REGEXP_REPLACE(text, r'^the\b', ''), r'[^a-z0-9]+', '') AS fuzzy_title
  FROM with_digits
),

-- Only keys with an instrumental go on.
instrumentals AS (
  SELECT *
  FROM tracks
  WHERE marker IS NOT NULL AND fuzzy_title != ''
),

keys AS (
  SELECT DISTINCT artist_id, fuzzy_title
  FROM instrumentals
),

-- An empty fuzzy title matches nothing; it is only counted.
others AS (
  SELECT tracks.*
  FROM tracks
  LEFT JOIN keys
    ON keys.artist_id = tracks.artist_id
    AND keys.fuzzy_title = tracks.fuzzy_title
  WHERE tracks.fuzzy_title = '' OR keys.fuzzy_title IS NOT NULL
),

mixtures AS (
  SELECT *
  FROM others
  WHERE marker IS NULL AND fuzzy_title != ''
),

-- A mixture lies in one span of four tolerances, an instrumental reaches into one or two of them:
-- an equality join whose work does not grow with the square of a key.
spanned_mixtures AS (
  SELECT *, FLOOR(duration_s / (4 * @tolerance_s)) AS span
  FROM mixtures
),

reaching_instrumentals AS (
  SELECT
    *,
    FLOOR((duration_s - @tolerance_s) / (4 * @tolerance_s)) AS low,
    FLOOR((duration_s + @tolerance_s) / (4 * @tolerance_s)) AS high
  FROM instrumentals
),

spanned_instrumentals AS (
  SELECT track_id, artist_id, fuzzy_title, marker, duration_s, span
  FROM reaching_instrumentals, UNNEST(IF(low = high, [low], [low, high])) AS span
),

pairs AS (
  SELECT
    mix.track_id AS mix_track_id,
    instrumental.track_id AS instrumental_track_id,
    mix.artist_id,
    mix.fuzzy_title,
    mix.duration_s - instrumental.duration_s AS duration_difference_s,
    instrumental.marker
  FROM spanned_mixtures AS mix
  JOIN spanned_instrumentals AS instrumental
    ON mix.artist_id = instrumental.artist_id
    AND mix.fuzzy_title = instrumental.fuzzy_title
    AND mix.span = instrumental.span
  WHERE ABS(mix.duration_s - instrumental.duration_s) < @tolerance_s
),

-- Ids as matching/ids.py makes them: SHA-256 over length-prefixed UTF-8.
candidates AS (
  SELECT
    SUBSTR(
      TO_HEX(
        SHA256(
          CONCAT(
            CAST(BYTE_LENGTH(mix_track_id) AS STRING), ':', mix_track_id,
            CAST(BYTE_LENGTH(instrumental_track_id) AS STRING), ':', instrumental_track_id
          )
        )
      ),
      1,
      32
    ) AS pair_id,
    SUBSTR(
      TO_HEX(
        SHA256(
          CONCAT(
            CAST(BYTE_LENGTH(artist_id) AS STRING), ':', artist_id,
            CAST(BYTE_LENGTH(fuzzy_title) AS STRING), ':', fuzzy_title
          )
        )
      ),
      1,
      32
    ) AS song_id,
    mix_track_id,
    instrumental_track_id,
    artist_id,
    fuzzy_title,
    duration_difference_s,
    marker,
    @rule AS rule
  FROM pairs
),

-- What has to be carried out of the catalogue as it stands.
wanted AS (
  SELECT mix_track_id AS track_id FROM pairs
  UNION DISTINCT
  SELECT instrumental_track_id AS track_id FROM pairs
  UNION DISTINCT
  SELECT track_id FROM repeated
),

records AS (
  SELECT checked.record
  FROM checked
  LEFT JOIN wanted ON wanted.track_id = checked.track_id
  WHERE checked.error IS NOT NULL OR wanted.track_id IS NOT NULL
),

counts AS (
  SELECT 'tracks_read' AS name, COUNT(*) AS number FROM checked
  UNION ALL
  SELECT 'errors' AS name, COUNT(*) AS number FROM checked WHERE error IS NOT NULL
  UNION ALL
  SELECT 'duplicates' AS name, CAST(COALESCE(SUM(times - 1), 0) AS INT64) AS number FROM repeated
  UNION ALL
  SELECT 'empty_keys' AS name, COUNT(*) AS number FROM others WHERE fuzzy_title = ''
  UNION ALL
  SELECT 'instrumentals' AS name, COUNT(*) AS number FROM instrumentals
  UNION ALL
  SELECT 'keys' AS name, COUNT(*) AS number FROM keys
)

SELECT candidates AS candidate, NULL AS record, NULL AS count FROM candidates
UNION ALL
SELECT NULL, record, NULL FROM records
UNION ALL
SELECT NULL, NULL, counts FROM counts
