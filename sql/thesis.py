"""What a title says by the thesis' rule, in GoogleSQL: the relation `titled`, from `once`.

Its rows are those of `once` that may be in a pair or have no key, with the text that makes the key,
`marker` (NULL for a mixture) and `descriptors`, which the rule has none of. `marked_tracks` are
those of them that have a marker.
"""

from matching.titles import MARKERS

# What may be a marker's text, before it is known what the title is in Latin letters.
OR_MARKED = "".join(f" OR STRPOS(LOWER(text), '{word}') > 0" for word in MARKERS)

# A title that begins with a letter or a digit, and not with "the" alone, has a key.
_HAS_KEY = """\
UNICODE(once.printed) BETWEEN UNICODE('A') AND UNICODE('S')
      OR UNICODE(once.printed) BETWEEN UNICODE('a') AND UNICODE('s')
      OR UNICODE(once.printed) BETWEEN UNICODE('U') AND UNICODE('Z')
      OR UNICODE(once.printed) BETWEEN UNICODE('u') AND UNICODE('z')
      OR UNICODE(once.printed) BETWEEN UNICODE('0') AND UNICODE('9')
      OR REGEXP_CONTAINS(once.printed, r'(?i)^t(?:[^h]|h[^e]|he ?[a-z0-9])')"""

TITLED = f"""\
marked_titles AS (
  SELECT *
  FROM (
    SELECT
      noted.text AS printed,
      LOWER(COALESCE(latin_texts.latin, noted.text)) AS text,
      REGEXP_EXTRACT(
        LOWER(COALESCE(latin_texts.latin, noted.text)), r'{"|".join(MARKERS)}'
      ) AS marker
    FROM noted
    LEFT JOIN latin_texts ON latin_texts.text = noted.text
  ) AS each
  WHERE marker IS NOT NULL
),

marked_tracks AS (
  SELECT
    once.* EXCEPT (title, printed), marked_titles.text, '' AS descriptors, marked_titles.marker
  FROM once
  JOIN marked_titles ON marked_titles.printed = once.printed
),

marked_artists AS (
  SELECT DISTINCT artist_id
  FROM marked_tracks
),

promising AS (
  SELECT once.*
  FROM once
  LEFT JOIN marked_artists ON marked_artists.artist_id = once.artist_id
  WHERE
    marked_artists.artist_id IS NOT NULL
    OR NOT (
      {_HAS_KEY}
    )
),

promising_texts AS (
  SELECT
    promising.* EXCEPT (title, printed),
    LOWER(COALESCE(latin_texts.latin, promising.printed)) AS text
  FROM promising
  LEFT JOIN latin_texts ON latin_texts.text = promising.printed
),

unmarked_tracks AS (
  SELECT promising_texts.*, '' AS descriptors, CAST(NULL AS STRING) AS marker
  FROM promising_texts
  LEFT JOIN marked_titles ON marked_titles.text = promising_texts.text
  WHERE marked_titles.text IS NULL
),

titled AS (
  SELECT *
  FROM marked_tracks
  UNION ALL
  SELECT *
  FROM unmarked_tracks
)"""
