-- A table with grants of its own that became a partition later.
-- expect: rls_disabled public.events_2031
-- probe: leak public.events through public.events_2031
SET ROLE owner;
CREATE TABLE public.events (id uuid NOT NULL, user_id uuid NOT NULL REFERENCES auth.users, day date NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE INDEX ON public.events (user_id);
ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.events TO authenticated;
CREATE POLICY own ON public.events FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE TABLE public.events_2031 (id uuid NOT NULL, user_id uuid NOT NULL REFERENCES auth.users, day date NOT NULL);
GRANT SELECT, DELETE ON public.events_2031 TO authenticated;
ALTER TABLE public.events ATTACH PARTITION public.events_2031 FOR VALUES FROM ('2031-01-01') TO ('2032-01-01');
