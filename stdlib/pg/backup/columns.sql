-- Of each table, its columns with the number of their type, a domain's being that of what it is over; 25 (text) for an enum.
WITH RECURSIVE resolved(id, type) AS (
    SELECT oid, CASE WHEN typtype = 'e' THEN 25 ELSE oid END
    FROM pg_catalog.pg_type
    WHERE typtype <> 'd'
    UNION ALL
    SELECT domain.oid, resolved.type
    FROM pg_catalog.pg_type domain
    JOIN resolved ON resolved.id = domain.typbasetype
    WHERE domain.typtype = 'd'
)
SELECT coalesce(json_agg(json_build_array(nspname, relname, columns)), '[]')::text
FROM (
    SELECT n.nspname, c.relname, json_object_agg(a.attname, r.type::bigint) AS columns
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN resolved r ON r.id = a.atttypid
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    GROUP BY 1, 2
) tables
