"""From records and stored predictions to tables that say how sure they are."""
