"""The one form of a moment in the JSON of every event: RFC 3339 with an offset."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, GetPydanticSchema
from pydantic_core import core_schema

_RFC_3339 = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"

# pydantic alone also takes "1700000000" for a date, even in strict mode. The pattern in front refuses it and stays
# in Rust, so it costs a live comment about 0.1 µs. Python callers pass an aware datetime.
Timestamp = Annotated[
    datetime,
    GetPydanticSchema(
        lambda _source, _handler: core_schema.json_or_python_schema(
            json_schema=core_schema.custom_error_schema(
                core_schema.chain_schema(
                    [
                        core_schema.str_schema(pattern=_RFC_3339, strict=True),
                        core_schema.datetime_schema(tz_constraint="aware", strict=False),
                    ]
                ),
                custom_error_type="rfc_3339",
                custom_error_message="Input should be an RFC 3339 time with an offset, such as 2026-03-01T09:30:00Z",
            ),
            python_schema=core_schema.datetime_schema(tz_constraint="aware", strict=True),
        )
    ),
    Field(json_schema_extra={"format": "date-time"}),
]
