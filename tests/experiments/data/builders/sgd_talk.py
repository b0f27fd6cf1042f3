"""Invented dialogues in the layouts of Schema-Guided Dialogue and MultiWOZ 2.2."""

from __future__ import annotations


def user(text: str, intent: str = "NONE", **slots: str) -> dict:
    values = {slot: [value, "other wording"] for slot, value in slots.items()}
    return {
        "speaker": "USER",
        "utterance": text,
        "frames": [{"state": {"active_intent": intent, "requested_slots": [], "slot_values": values}}],
    }


def agent(text: str, *acts: str, results: list[dict] | None = None) -> dict:
    frame = {"actions": [{"act": act, "slot": "", "values": []} for act in acts], "slots": []}
    if results is not None:
        frame |= {"service_call": {"method": "SearchHotel", "parameters": {}}, "service_results": results}
    return {"speaker": "SYSTEM", "utterance": text, "frames": [frame]}


def dialogue(number: object, *turns: dict, services: tuple[str, ...] = ("Hotels_1",)) -> dict:
    return {"dialogue_id": str(number), "services": list(services), "turns": list(turns)}


def talk(number: object) -> dict:
    return dialogue(
        number,
        user("A room in Ghent.", "SearchHotel", city="Ghent"),
        agent(f"Blue Inn {number}?", "OFFER", "INFORM_COUNT", results=[{"name": name} for name in "ABCD"]),
        user("Yes."),
        agent(f"Bye {number}.", "GOODBYE"),
    )


def multiwoz(number: str) -> dict:
    return dialogue(
        number,
        user("A hotel.", "find_hotel", area="east"),
        agent("Which?"),
        user("Any."),
        agent("Hm."),
        services=("hotel",),
    )
