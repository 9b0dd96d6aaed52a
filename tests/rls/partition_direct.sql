-- A partition that is asked itself has policies of its own, or none.
-- expect: rls_disabled public.events_2025
SET ROLE owner;
CREATE TABLE public.events (id uuid NOT NULL, user_id uuid NOT NULL, day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE public.events_2025 PARTITION OF public.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.events TO authenticated;
CREATE POLICY own ON public.events FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
GRANT SELECT ON public.events_2025 TO authenticated;
