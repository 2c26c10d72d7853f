"""What the dashboard shows of the model, the cache, HTTP callers and the processes."""

from panels import gauge, lines, mean, p50_and_p99, rate, share, table

NOT_THE_MODEL = 'layer!="model"'
REQUESTS = "moderation_http_requests_total"
BRINGS_TEXTS = 'route=~"/predict|/v1alpha1/comments:analyze"'


def _share_of_requests(status: str) -> str:
    """0, not nothing, while none has this status."""
    every = rate(REQUESTS, BRINGS_TEXTS)
    return share(f"({rate(REQUESTS, BRINGS_TEXTS, status)} or 0 * {every})", every)


MODEL = [
    lines(
        "Forward pass", p50_and_p99("moderation_model_pass_seconds"), "s", "Of the stream's and HTTP callers' texts."
    ),
    lines(
        "How busy the model is",
        {"{{instance}}": rate("moderation_model_pass_seconds_sum", by="instance")},
        "percentunit",
        "At 100 % a member needs a faster machine, or the group another member.",
        highest=1,
    ),
    lines(
        "Texts in a pass",
        {"mean": mean("moderation_model_pass_texts"), **p50_and_p99("moderation_model_pass_texts")},
        "short",
        "As many of like length as fit into MAX_BATCH_TOKENS, when so many wait.",
    ),
    lines(
        "Texts classified",
        {"texts": rate("moderation_model_pass_texts_sum")},
        "cps",
        "Texts that neither cache knew; equal ones of a batch count once, each once for every model.",
    ),
    lines(
        "Tokens",
        {
            "with padding": rate("moderation_model_pass_tokens_sum"),
            "padding": rate("moderation_model_padding_tokens_total"),
        },
        "cps",
        "Tokens through the model in a second.",
    ),
    lines(
        "Padding",
        {"share": share(rate("moderation_model_padding_tokens_total"), rate("moderation_model_pass_tokens_sum"))},
        "percentunit",
        "Share of the model's work that is spent on nothing.",
        highest=1,
    ),
]

CACHE = [
    lines(
        "Answers of the stream",
        {"{{layer}}": rate("moderation_answers_total", by="layer")},
        "cps",
        "What answered: the model, this process's memory, or Redis.",
        stacked=True,
    ),
    lines(
        "Answers without the model",
        {
            "stream": share(rate("moderation_answers_total", NOT_THE_MODEL), rate("moderation_answers_total")),
            "HTTP": share(rate("moderation_http_texts_total", NOT_THE_MODEL), rate("moderation_http_texts_total")),
        },
        "percentunit",
        "Share answered from memory or Redis.",
        highest=1,
    ),
    lines(
        "Open circuits",
        {"{{circuit}}": f"sum by (circuit) ({gauge('moderation_cache_circuit_open')})"},
        "short",
        "Members that do not ask Redis, because it fails; `writes` alone means that it is still read.",
    ),
]

HTTP = [
    lines(
        "Requests",
        {"{{route}} {{status}}": rate(REQUESTS, by="route, status")},
        "reqps",
        "By route and status: 429 = too many texts wait, 504 = not in time.",
    ),
    lines(
        "Time to an answer",
        p50_and_p99("moderation_http_request_seconds", "route"),
        "s",
        "From a request to its answer.",
    ),
    lines(
        "Failed and refused",
        {
            "failed (5xx)": _share_of_requests('status=~"5.."'),
            "refused (429)": _share_of_requests('status="429"'),
        },
        "percentunit",
        "Shares of the requests that bring texts.",
    ),
    lines(
        "Texts that wait",
        {"{{instance}}": gauge("moderation_http_waiting_texts")},
        "short",
        "For the model, on behalf of HTTP callers. HTTP_MAX_WAITING_TEXTS is the most; more are refused.",
    ),
    lines(
        "Texts answered",
        {"{{layer}}": rate("moderation_http_texts_total", by="layer")},
        "cps",
        "What answered HTTP callers: the model, this process's memory, or Redis.",
        stacked=True,
    ),
]

PROCESS = [
    lines(
        "Memory",
        {"{{instance}}": gauge("process_resident_memory_bytes")},
        "bytes",
        "Resident memory. It stands still once the memory cache is full.",
    ),
    lines(
        "Processor",
        {"{{instance}}": rate("process_cpu_seconds_total", by="instance")},
        "short",
        "Cores in use.",
    ),
    lines(
        "Open files",
        {"{{instance}}": gauge("process_open_fds")},
        "short",
        "Files and connections. A steady climb is a leak, of ours or of a caller's connections.",
    ),
    lines(
        "Time since the start",
        {"{{instance}}": f"time() - {gauge('process_start_time_seconds')}"},
        "s",
        "A saw's teeth are restarts; the log's last line before each says why.",
    ),
    table(
        "What runs",
        gauge("moderation_build_info"),
        ["instance", "version", "model", "model_version", "policy_version"],
        "Members of one group should run the same model and policy, except while they are being replaced.",
    ),
]
