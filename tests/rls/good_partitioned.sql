-- Partitions are reached through their parent only.
SET ROLE owner;
CREATE TABLE public.events (id uuid NOT NULL, user_id uuid NOT NULL, day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE public.events_2025 PARTITION OF public.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.events TO authenticated;
CREATE POLICY own ON public.events FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
