-- Everything of ours in the schema `public`, so that a backup can take its place. What belongs to an
-- extension stays.
SET LOCAL client_min_messages = warning;
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT format('DROP %s IF EXISTS public.%I CASCADE',
                             CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                                            WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relname) AS statement
                 FROM pg_class AS c
                WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
                  AND NOT c.relispartition
                  AND NOT EXISTS (SELECT FROM pg_depend AS d
                                   WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                     AND (d.deptype = 'e' OR (d.deptype = 'i' AND c.relkind = 'S')))
                ORDER BY c.relkind = 'S' LOOP
        EXECUTE one.statement;
    END LOOP;
    FOR one IN SELECT p.oid::regprocedure AS name
                 FROM pg_proc AS p
                WHERE p.pronamespace = 'public'::regnamespace
                  AND NOT EXISTS (SELECT FROM pg_depend AS d
                                   WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                                     AND d.deptype = 'e') LOOP
        EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', one.name);
    END LOOP;
END $$;
