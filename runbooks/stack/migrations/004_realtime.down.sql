-- ccrun: reversible
DROP PUBLICATION supabase_realtime;
