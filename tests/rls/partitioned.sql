-- The parent of partitions, without row-level security.
-- expect: rls_disabled public.events
SET ROLE owner;
CREATE TABLE public.events (id uuid NOT NULL, day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE public.events_2025 PARTITION OF public.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
GRANT SELECT ON public.events TO authenticated;
