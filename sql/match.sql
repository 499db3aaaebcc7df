-- Pairs of a mixture and its instrumental: thesis ch. 3.5.2, eq. 3.1 and 3.4-3.6. GoogleSQL.
--
-- sql/match.py puts in what stands in braces: the catalogue and its columns, quoted, the words of
-- the rule, from `matching`, and where the rules differ, one of two texts: what a title says
-- (sql/thesis.py, sql/titles.py) and the keys under which a track may meet its counterpart. The
-- parameters are unidecode's table, the aliases of artists and the rule's numbers. On DuckDB some
-- relations are made otherwise, with the same rows (sql/by_arrow.py).
--
-- Result rows are of six kinds: `candidate`; `record`, a row of the catalogue as it stands that is
-- in a pair, has an error or shares its id with another; `count`, a name and a number; `large`, a
-- key that would give too many pairs and gives none; `year`, its releases; `word`, one that describes
-- instrumentals and is none of the rule's, and how many.

WITH
source AS (
  SELECT
    {{record}} AS record,
    {{track_id}} AS track_id,
    {{artist_id}} AS artist_id,
    {{artist}} AS artist,
    {{title}} AS title,
    {{album}} AS album,
    {{release_year}} AS release_year,
    {{is_video}} AS is_video,
    {{artist_ids}} AS artist_ids,
    {{work_id}} AS work_id,
    {{recording_id}} AS recording_id,
    {{duration_s}} AS duration_s,
    {{has_texts}} AS has_texts
  FROM {{catalogue}} AS {{record}}
),

checked AS (
  SELECT
    *,
    {{printed}} AS printed,
    has_texts
      AND duration_s IS NOT NULL
      AND duration_s > 0
      AND duration_s < CAST('inf' AS FLOAT64) AS is_good
  FROM source
),

printed_titles AS (
  SELECT printed AS text
  FROM checked
),

-- The titles, each once, that are not all in ASCII or may have a marker of the thesis' rule.
noted AS (
  SELECT DISTINCT text
  FROM printed_titles
  WHERE BYTE_LENGTH(text) != CHAR_LENGTH(text){{or_marked}}
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
    SELECT text
    FROM noted
    WHERE BYTE_LENGTH(text) != CHAR_LENGTH(text)
    UNION DISTINCT
    SELECT artist AS text
    FROM checked
    WHERE {{looked_at}} AND BYTE_LENGTH(artist) != CHAR_LENGTH(artist)
    {{foreign_albums}}
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

-- Artist ids where the catalogue has none: the digest of one spelling of the name. An alias has
-- the id of its artist, whatever the catalogue says.
artist_texts AS (
  SELECT
    artists.artist,
    TRIM(LOWER(COALESCE(latin_texts.latin, artists.artist)), ' \t\n\v\f\r') AS text
  FROM (SELECT DISTINCT artist FROM checked WHERE is_good AND {{looked_at}}) AS artists
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

aliases AS (
  SELECT
    SUBSTR(entry, 1, STRPOS(entry, '\n') - 1) AS artist_key,
    SUBSTR(entry, STRPOS(entry, '\n') + 1) AS artist_id
  FROM UNNEST(SPLIT(@aliases, '\t')) AS entry
  WHERE entry != ''
),

known_artists AS (
  SELECT
    artist_keys.artist,
    artist_keys.artist_key,
    aliases.artist_id AS alias_of,
    SUBSTR(
      TO_HEX(
        SHA256(
          CONCAT(
            CAST(BYTE_LENGTH(artist_keys.artist_key) AS STRING), ':', artist_keys.artist_key
          )
        )
      ),
      1,
      32
    ) AS artist_id
  FROM artist_keys
  LEFT JOIN aliases ON aliases.artist_key = artist_keys.artist_key
),

named AS (
  SELECT
    checked.* EXCEPT (record, artist_id, artist_ids, artist, has_texts, is_good),
    COALESCE(known_artists.alias_of, checked.artist_id, known_artists.artist_id) AS artist_id,
    {{listed}} AS artist_ids
  FROM checked
  LEFT JOIN known_artists ON known_artists.artist = checked.artist
  WHERE checked.is_good
),

-- One track an id: of several the one that sorts first. Few ids are there again, and numbers are
-- faster to group than texts, so rows are judged only where the number of their id is there again.
numbered_ids AS (
  SELECT FARM_FINGERPRINT(track_id) AS number
  FROM source
  WHERE track_id IS NOT NULL
),

again AS (
  SELECT number
  FROM numbered_ids
  GROUP BY number
  HAVING COUNT(*) > 1
),

repeated AS (
  SELECT checked.track_id, COUNT(*) AS times
  FROM checked
  JOIN again ON again.number = FARM_FINGERPRINT(checked.track_id)
  WHERE checked.is_good
  GROUP BY checked.track_id
  HAVING COUNT(*) > 1
),

kept_of_repeated AS (
  SELECT *
  FROM named
  WHERE EXISTS (SELECT 1 FROM repeated WHERE repeated.track_id = named.track_id)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY track_id
    ORDER BY
      title, artist_id, duration_s,
      COALESCE(album, ''), COALESCE(release_year, 0), COALESCE(recording_id, ''),
      COALESCE(work_id, '')
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

-- What a title says: its text, its marker or NULL, and what describes the version. Only artists with
-- an instrumental go on, and what may have an empty key, which is counted.
{{titled}},

-- Fuzzy titles, step by step (eq. 3.5). Leading spaces are no part of " - "; trailing ones need no
-- care, for only letters will stay.
without_comments AS (
  SELECT
    * EXCEPT (text),
    REGEXP_REPLACE(text, r'(?s)^[ \t\n\v\f\r]+|(?:[(\[]| - ).*', '') AS text
  FROM titled
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

fuzzy AS (
  SELECT
    * EXCEPT (text),
    REGEXP_REPLACE(REGEXP_REPLACE(text, r'^the\b', ''), r'[^a-z0-9]+', '') AS title_key
  FROM with_digits
),

tracks AS (
  SELECT
    * EXCEPT (title_key),
    title_key,
    IF(title_key = '' OR descriptors = '', title_key, CONCAT(title_key, '|', descriptors))
      AS fuzzy_title
  FROM fuzzy
),

-- Only keys with an instrumental go on.
instrumentals AS (
  SELECT *
  FROM tracks
  WHERE marker IS NOT NULL AND fuzzy_title != ''
),

-- A track's keys, under which it may meet its counterpart; an empty fuzzy title is only counted.
{{linked_instrumentals}},

{{linked_others}},

keys AS (
  SELECT DISTINCT link_artist, link
  FROM linked_instrumentals
),

others AS (
  SELECT {{once_each}}
    linked_others.track_id,
    linked_others.fuzzy_title,
    linked_others.title_key,
    linked_others.recording_id,
    linked_others.is_video,
    linked_others.duration_s,
    linked_others.link_artist,
    linked_others.link
  FROM linked_others
  LEFT JOIN keys
    ON keys.link_artist = linked_others.link_artist
    AND keys.link = linked_others.link
  WHERE linked_others.fuzzy_title = '' OR keys.link IS NOT NULL
),

-- A mixture lies in one span of four tolerances, an instrumental reaches into one or two of them:
-- an equality join whose work does not grow with the square of a key.
spanned_mixtures AS (
  SELECT *, FLOOR(duration_s / (4 * @tolerance_s)) AS span
  FROM others
  WHERE fuzzy_title != ''
),

reaching_instrumentals AS (
  SELECT
    *,
    FLOOR((duration_s - @tolerance_s) / (4 * @tolerance_s)) AS low,
    FLOOR((duration_s + @tolerance_s) / (4 * @tolerance_s)) AS high
  FROM linked_instrumentals
),

spanned_instrumentals AS (
  SELECT * EXCEPT (low, high)
  FROM reaching_instrumentals, UNNEST(IF(low = high, [low], [low, high])) AS span
),

-- Keys that could give too many pairs: these are counted, by their different durations, before any
-- is made.
crowded AS (
  SELECT mixture_counts.*, instrumental_counts.instrumentals
  FROM (
    SELECT link_artist, link, COUNT(*) AS mixtures
    FROM others
    WHERE fuzzy_title != ''
    GROUP BY link_artist, link
  ) AS mixture_counts
  JOIN (
    SELECT link_artist, link, COUNT(*) AS instrumentals
    FROM linked_instrumentals
    GROUP BY link_artist, link
  ) AS instrumental_counts
    ON instrumental_counts.link_artist = mixture_counts.link_artist
    AND instrumental_counts.link = mixture_counts.link
  WHERE mixture_counts.mixtures * instrumental_counts.instrumentals > @most_per_key
),

crowded_mixtures AS (
  SELECT link_artist, link, span, duration_s, COUNT(*) AS times
  FROM spanned_mixtures
  WHERE EXISTS (
    SELECT 1
    FROM crowded
    WHERE crowded.link_artist = spanned_mixtures.link_artist
      AND crowded.link = spanned_mixtures.link
  )
  GROUP BY link_artist, link, span, duration_s
),

crowded_instrumentals AS (
  SELECT link_artist, link, span, duration_s, COUNT(*) AS times
  FROM spanned_instrumentals
  WHERE EXISTS (
    SELECT 1
    FROM crowded
    WHERE crowded.link_artist = spanned_instrumentals.link_artist
      AND crowded.link = spanned_instrumentals.link
  )
  GROUP BY link_artist, link, span, duration_s
),

pair_counts AS (
  SELECT mix.link_artist, mix.link, SUM(mix.times * instrumental.times) AS candidates
  FROM crowded_mixtures AS mix
  JOIN crowded_instrumentals AS instrumental
    ON mix.link_artist = instrumental.link_artist
    AND mix.link = instrumental.link
    AND mix.span = instrumental.span
  WHERE ABS(mix.duration_s - instrumental.duration_s) < @tolerance_s
  GROUP BY mix.link_artist, mix.link
),

large AS (
  SELECT
    crowded.link_artist AS artist_id,
    crowded.link AS fuzzy_title,
    crowded.mixtures,
    crowded.instrumentals,
    CAST(pair_counts.candidates AS INT64) AS candidates
  FROM crowded
  JOIN pair_counts
    ON pair_counts.link_artist = crowded.link_artist
    AND pair_counts.link = crowded.link
  WHERE pair_counts.candidates > @most_per_key
),

fitting_mixtures AS (
  SELECT *
  FROM spanned_mixtures
  WHERE NOT EXISTS (
    SELECT 1
    FROM large
    WHERE large.artist_id = spanned_mixtures.link_artist
      AND large.fuzzy_title = spanned_mixtures.link
  )
),

linked_pairs AS (
  SELECT
    mix.track_id AS mix_track_id,
    instrumental.track_id AS instrumental_track_id,
    mix.link_artist AS artist_id,
    mix.fuzzy_title,
    mix.title_key,
    mix.duration_s - instrumental.duration_s AS duration_difference_s,
    instrumental.marker
  FROM fitting_mixtures AS mix
  JOIN spanned_instrumentals AS instrumental
    ON mix.link_artist = instrumental.link_artist
    AND mix.link = instrumental.link
    AND mix.span = instrumental.span
  WHERE ABS(mix.duration_s - instrumental.duration_s) < @tolerance_s
    AND COALESCE(mix.recording_id != instrumental.recording_id, TRUE)
    {{videos_apart}}
),

{{pairs}},

-- Ids as stemlode/ids.py makes them: SHA-256 over length-prefixed UTF-8.
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
            CAST(BYTE_LENGTH(title_key) AS STRING), ':', title_key
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
  SELECT checked.record, checked.is_good, checked.duration_s
  FROM checked
  LEFT JOIN wanted ON wanted.track_id = checked.track_id
  WHERE NOT checked.is_good OR wanted.track_id IS NOT NULL
),

-- The releases (an artist's albums) of each year, and those of them that hold an instrumental.
releases AS (
  SELECT release_year, COUNT(*) AS releases
  FROM (
    SELECT DISTINCT release_year, artist_id, album
    FROM named
    WHERE release_year IS NOT NULL AND album IS NOT NULL
  ) AS each
  GROUP BY release_year
),

instrumental_releases AS (
  SELECT release_year, COUNT(*) AS releases
  FROM (
    SELECT DISTINCT release_year, artist_id, album
    FROM instrumentals
    WHERE release_year IS NOT NULL AND album IS NOT NULL
  ) AS each
  GROUP BY release_year
),

years AS (
  SELECT
    releases.release_year AS year,
    releases.releases,
    COALESCE(instrumental_releases.releases, 0) AS with_instrumentals
  FROM releases
  LEFT JOIN instrumental_releases
    ON instrumental_releases.release_year = releases.release_year
),

each_word AS (
  SELECT word
  FROM (SELECT SPLIT(descriptors, ' ') AS words FROM instrumentals) AS described, UNNEST(words) AS word
),

unknown_words AS (
  SELECT word, COUNT(*) AS number
  FROM each_word
  WHERE word != '' AND NOT REGEXP_CONTAINS(word, {{known_words}})
  GROUP BY word
  ORDER BY number DESC, word
  LIMIT {{most_words}}
),

-- Of all rows, less those with an error.
totals AS (
  SELECT
    every.tracks_read,
    wrong.tracks_read AS errors,
    every.whole_seconds - wrong.whole_seconds AS whole_seconds,
    every.long - wrong.long AS long
  FROM (
    SELECT
      COUNT(*) AS tracks_read,
      COUNT(CASE WHEN duration_s = FLOOR(duration_s) THEN 1 END) AS whole_seconds,
      COUNT(CASE WHEN duration_s > {{long_s}} THEN 1 END) AS long
    FROM source
  ) AS every
  CROSS JOIN (
    SELECT
      COUNT(*) AS tracks_read,
      COUNT(CASE WHEN duration_s = FLOOR(duration_s) THEN 1 END) AS whole_seconds,
      COUNT(CASE WHEN duration_s > {{long_s}} THEN 1 END) AS long
    FROM records
    WHERE NOT is_good
  ) AS wrong
),

counts AS (
  SELECT 'tracks_read' AS name, tracks_read AS number FROM totals
  UNION ALL
  SELECT 'errors' AS name, errors AS number FROM totals
  UNION ALL
  SELECT 'whole_seconds' AS name, whole_seconds AS number FROM totals
  UNION ALL
  SELECT 'long' AS name, long AS number FROM totals
  UNION ALL
  SELECT 'duplicates' AS name, CAST(COALESCE(SUM(times - 1), 0) AS INT64) AS number FROM repeated
  UNION ALL
  SELECT 'empty_keys' AS name, COUNT(*) AS number FROM others WHERE fuzzy_title = ''
  UNION ALL
  SELECT 'instrumentals' AS name, COUNT(*) AS number FROM instrumentals
  UNION ALL
  SELECT 'keys' AS name, COUNT(*) AS number FROM keys
)

SELECT
  candidates AS candidate, NULL AS record, NULL AS count, NULL AS large, NULL AS year, NULL AS word
FROM candidates
UNION ALL
SELECT NULL, record, NULL, NULL, NULL, NULL FROM records
UNION ALL
SELECT NULL, NULL, counts, NULL, NULL, NULL FROM counts
UNION ALL
SELECT NULL, NULL, NULL, large, NULL, NULL FROM large
UNION ALL
SELECT NULL, NULL, NULL, NULL, years, NULL FROM years
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, unknown_words FROM unknown_words
