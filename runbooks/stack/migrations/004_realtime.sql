-- What Realtime tells subscribers of; it applies the same policies to each of them.
CREATE PUBLICATION supabase_realtime FOR TABLE public.tasks, public.events;
