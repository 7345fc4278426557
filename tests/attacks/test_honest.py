"""A line where nobody lies: everything is decided and learned, and nobody is accused of anything."""

from tests.attacks.line import Line


def test_everything_is_decided_learned_and_answered_and_nobody_accused() -> None:
    line = Line(learns=True)
    for turn in range(6):
        line.put(f"k{turn % 2}", turn)
    asked = line.get("k1")
    line.ask(line.clients.request("account.open", {"account": "a", "balance": 5}))
    line.ask(line.clients.request("transfer", {"amount": 9, "from": "a", "to": "a"}))
    line.run(5000)
    line.check_honest()
    assert len(line.receipts()) == 9
    assert line.receipts()[asked.request_id].output == 5
