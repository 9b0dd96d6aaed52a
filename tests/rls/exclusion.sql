-- A booking that is refused says that somebody else has booked.
-- expect: unique_without_tenant public.bookings: bookings_during_excl
SET ROLE owner;
CREATE TABLE public.bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, during tstzrange NOT NULL, EXCLUDE USING gist (during WITH &&));
CREATE INDEX ON public.bookings (user_id);
ALTER TABLE public.bookings ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON public.bookings TO authenticated;
CREATE POLICY own ON public.bookings TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
