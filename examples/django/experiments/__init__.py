"""A Django site whose admin tells who may know what is being changed."""
