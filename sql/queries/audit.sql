-- name: add_audit_event
-- Every hand-made change, in the transaction of the change itself.
INSERT INTO audit_events (actor, action, subject, reason, before, after)
VALUES (:actor, :action, :subject, :reason, CAST(:before AS jsonb), CAST(:after AS jsonb));

-- name: audit_of_ruleset
-- What people did with a ruleset, in order.
SELECT at, actor, action, reason, before, after
  FROM audit_events
 WHERE subject = :subject AND action LIKE 'ruleset.%'
 ORDER BY event_id;
