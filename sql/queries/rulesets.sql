-- name: active_ruleset
-- The one that prices now. No row: none was ever activated.
SELECT ruleset_id, name, checksum, source FROM rulesets WHERE state = 'active';

-- name: ruleset_by_checksum
SELECT ruleset_id, state FROM rulesets WHERE checksum = :checksum;

-- name: ruleset_by_id
SELECT ruleset_id, name, checksum, source, state FROM rulesets WHERE ruleset_id = :ruleset_id;

-- name: add_ruleset
-- No row: the same content is there already.
INSERT INTO rulesets (name, checksum, source, author)
VALUES (:name, :checksum, :source, :author)
ON CONFLICT (checksum) DO NOTHING
RETURNING ruleset_id;

-- name: lock_activation
-- One activation at a time, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('facet.activate'));

-- name: retire_active_ruleset
UPDATE rulesets SET state = 'retired', retired_at = now()
 WHERE state = 'active' AND ruleset_id <> :ruleset_id
RETURNING ruleset_id;

-- name: activate_ruleset
UPDATE rulesets SET state = 'active', activated_at = now(), retired_at = NULL
 WHERE ruleset_id = :ruleset_id AND state <> 'active'
RETURNING ruleset_id;

-- name: list_rulesets
SELECT ruleset_id, name, checksum, state, author, imported_at, activated_at, retired_at
  FROM rulesets
 ORDER BY (state = 'active') DESC, ruleset_id DESC;
