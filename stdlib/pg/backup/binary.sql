-- Values of all sorts in each type whose rows are sent in the binary format: the ends of what it holds, what random makes, and none.
CREATE TABLE formed (
    b bool, i2 smallint, i4 int, i8 bigint, f4 real, f8 float8, n numeric, u uuid, d date, ts timestamp, tz timestamptz, by bytea,
    t text, jb jsonb
);

INSERT INTO formed VALUES
    (true, -32768, -2147483648, -9223372036854775808, 'NaN', 'NaN', 0, '00000000-0000-0000-0000-000000000000', 'infinity',
     'infinity', 'infinity', '', '', 'null'),
    (false, 32767, 2147483647, 9223372036854775807, 'Infinity', '-Infinity', 0.00000000000000000001, 'ffffffff-ffff-ffff-ffff-ffffffffffff',
     '-infinity', '-infinity', '-infinity', '\x00', '\N', '"\\"'),
    (NULL, 0, 0, 0, -0.0, -0.0, 0.0000, gen_random_uuid(), '0001-01-01', '0001-01-01 00:00:00', '0001-01-02 00:00:00',
     '\x5c', E'\\.', '"\t\n"'),
    (true, -1, -1, -1, 1.17549435e-38, 2.2250738585072014e-308, 10000, NULL, '9999-12-31', '9999-12-31 23:59:59.999999',
     '9999-12-31 23:59:59.999999', NULL, E'\t', '{}'),
    (true, 1, 1, 1, 3.4028235e38, 1.7976931348623157e308, -9999.9999, NULL, '1999-12-31', '1999-12-31 23:59:59.999999',
     '1900-01-01 00:00:00', NULL, E'\\', '[]'),
    (true, 1, 1, 1, 1e-45, 4.9e-324, 100000000.00010, NULL, '2000-01-01', '2000-02-29 00:00:00.000001',
     '2025-03-30 02:30:00 Europe/Berlin', NULL, NULL, NULL);

INSERT INTO formed
SELECT
    CASE g % 3 WHEN 0 THEN true WHEN 1 THEN false END,
    nullif((random() * 65535 - 32768)::int, 7)::smallint,
    (random() * 4294967295 - 2147483648)::bigint::int,
    ((random() - 0.5) * 1.8e19)::bigint,
    (random() - 0.5) * 10::float8 ^ (random() * 74 - 37),
    (random() - 0.5) * 10::float8 ^ (random() * 610 - 305),
    CASE WHEN g % 2 = 0 THEN -1 ELSE 1 END * round(random()::numeric * 10::numeric ^ (g % 60 - 15), g % 33) * 10::numeric ^ (g % 9),
    gen_random_uuid(),
    '0001-01-01'::date + (random() * 3652058)::int,
    '0001-01-01'::timestamp + random() * interval '3652058 days',
    '0001-01-02'::timestamptz + random() * interval '3652057 days',
    decode(substr(md5(random()::text) || md5(random()::text), 1, 2 * (g % 33)), 'hex'),
    (SELECT string_agg(chr(1 + (random() * CASE WHEN g % 2 = 0 THEN 126 ELSE 9000 END)::int), '' ORDER BY k) FROM generate_series(1, g % 20) k),
    jsonb_build_object('n', random(), E'k\t"\\', md5(g::text), 'list', jsonb_build_array(g, NULL, E'line\nline', '🎉'))
FROM generate_series(1, 20000) g;
