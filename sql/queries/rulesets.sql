-- name: active_ruleset
-- The one that prices now. No row: none was ever activated.
SELECT ruleset_id, name, checksum, source, variant_id FROM rulesets WHERE state = 'active';

-- name: ruleset_by_checksum
SELECT ruleset_id, state FROM rulesets WHERE checksum = :checksum;

-- name: ruleset_by_id
SELECT ruleset_id, name, checksum, source, state, variant_id
  FROM rulesets
 WHERE ruleset_id = :ruleset_id;

-- name: find_rulesets
-- By id, or by the beginning of the checksum; two rows are enough to know that it is ambiguous.
SELECT ruleset_id FROM rulesets
 WHERE ruleset_id = :ruleset_id OR starts_with(checksum, CAST(:prefix AS text))
 ORDER BY (ruleset_id = :ruleset_id) DESC, ruleset_id
 LIMIT 2;

-- name: ruleset
SELECT ruleset_id, name, checksum, state, variant_id, author, imported_at, activated_at, retired_at,
       source
  FROM rulesets
 WHERE ruleset_id = :ruleset_id;

-- name: add_ruleset
-- No row: the same content is there already.
INSERT INTO rulesets (name, checksum, source, author, variant_id)
VALUES (:name, :checksum, :source, :author, :variant_id)
ON CONFLICT (checksum) DO NOTHING
RETURNING ruleset_id;

-- name: lock_pricing
-- One change of what prices at a time, until the transaction ends; waits for whoever prices now.
SELECT pg_advisory_xact_lock(hashtext('facet.pricing'));

-- name: hold_pricing
-- Many may price at a time, and what prices does not change until their transactions end.
SELECT pg_advisory_xact_lock_shared(hashtext('facet.pricing'));

-- name: ruleset_before
-- The one that was active before the present one. No row: none was.
SELECT ruleset_id FROM rulesets WHERE state = 'retired' ORDER BY retired_at DESC LIMIT 1;

-- name: retire_active_ruleset
UPDATE rulesets SET state = 'retired', retired_at = now()
 WHERE state = 'active' AND ruleset_id <> :ruleset_id
RETURNING ruleset_id;

-- name: activate_ruleset
UPDATE rulesets SET state = 'active', activated_at = now(), retired_at = NULL
 WHERE ruleset_id = :ruleset_id AND state <> 'active'
RETURNING ruleset_id;

-- name: list_rulesets
SELECT ruleset_id, name, checksum, state, variant_id, author, imported_at, activated_at, retired_at
  FROM rulesets
 ORDER BY (state = 'active') DESC, ruleset_id DESC;
