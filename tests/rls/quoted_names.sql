-- Names that must be quoted.
-- expect: rls_disabled public."Notizen für alle"
SET ROLE owner;
CREATE TABLE public."Notizen für alle" ("Id" uuid PRIMARY KEY, "Wert" text);
GRANT SELECT ON public."Notizen für alle" TO authenticated;
