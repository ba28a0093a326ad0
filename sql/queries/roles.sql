-- name: roles_there
SELECT rolname FROM pg_roles WHERE rolname = ANY(CAST(:names AS text[]));

-- name: database_name
SELECT current_database();

-- name: schema_is_owned
-- Whether that role owns the schema's version, and the present user may act as it. No row or false:
-- the schema belongs to whoever made it.
SELECT o.rolname = :owner AND pg_has_role(current_user, o.oid, 'MEMBER')
  FROM pg_class AS c
  JOIN pg_roles AS o ON o.oid = c.relowner
 WHERE c.oid = to_regclass('alembic_version');

-- name: objects_of_others
-- Tables, views and functions that another than that role owns, as ALTER calls them. Sequences and
-- indexes go with their tables; what extensions brought is theirs.
SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind, c.oid::regclass::text AS name
  FROM pg_class AS c
  JOIN pg_roles AS o ON o.oid = c.relowner
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
   AND o.rolname <> :owner
   AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT 'FUNCTION', f.oid::regprocedure::text
  FROM pg_proc AS f
  JOIN pg_roles AS o ON o.oid = f.proowner
 WHERE f.pronamespace = 'public'::regnamespace AND o.rolname <> :owner
   AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = f.oid AND d.deptype = 'e')
 ORDER BY 1, 2;

-- name: tables_there
-- Tables and views, but not the parts of partitioned ones: who may use the whole may use its parts,
-- and nobody uses a part by its name.
SELECT c.relname::text
  FROM pg_class AS c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
 ORDER BY 1;

-- name: functions_there
-- Those of our functions that have such a name, as GRANT calls them.
SELECT f.oid::regprocedure::text AS signature, f.proname::text AS name
  FROM pg_proc AS f
 WHERE f.pronamespace = 'public'::regnamespace AND f.proname = ANY(CAST(:names AS text[]))
 ORDER BY 1;

-- name: privileges_granted
-- What is granted to such roles on tables and views, or on some of their columns.
SELECT g.grantee::regrole::text AS role, c.relname::text AS table_name, g.privilege_type AS verb,
       CAST(NULL AS text) AS column_name
  FROM pg_class AS c
 CROSS JOIN LATERAL aclexplode(c.relacl) AS g
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
   AND g.grantee <> 0 AND g.grantee::regrole::text = ANY(CAST(:names AS text[]))
UNION ALL
SELECT g.grantee::regrole::text, c.relname::text, g.privilege_type, a.attname::text
  FROM pg_class AS c
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attacl IS NOT NULL
 CROSS JOIN LATERAL aclexplode(a.attacl) AS g
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
   AND g.grantee <> 0 AND g.grantee::regrole::text = ANY(CAST(:names AS text[]));
