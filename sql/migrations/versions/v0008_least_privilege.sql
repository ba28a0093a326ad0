-- A role that starts runs need not own the tables that it makes room in: the function does it for
-- whoever may call it, and calls nothing that a caller could have put in its way.
ALTER FUNCTION make_room(date) SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE ALL ON FUNCTION make_room(date) FROM PUBLIC;
