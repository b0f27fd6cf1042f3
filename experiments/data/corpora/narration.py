"""The sentence patterns of the general corpus, grouped by scene; {pool} stands for a word of words.POOLS."""

from __future__ import annotations


def _lines(text: str) -> tuple[str, ...]:
    """The patterns of a text, one a line."""
    return tuple(line.strip() for line in text.strip().splitlines())


SCENES: dict[str, tuple[str, ...]] = {
    "hotel": _lines("""
        the {room} room of the hotel was painted {colour}.
        the {room} room has {n} windows and one {thing}.
        {name} cleaned the {room} room and the {part} before noon.
        the hotel near the {place} has {tens} rooms.
        last {season} the hotel was full for {n} nights.
        the guests of the hotel ate {food} on the terrace.
        {n} guests sat in the {part} and talked about the {weather} weather.
        a guest left a {small} in the {room} room.
        the arrival of the guests was late, and {name} waited in the hall.
        "which room is the best?" asked a guest, and nobody knew.
        nothing was free in {season}, not even the {room} room.
        the rooms are booked by letter, and {name} writes every arrival in a book.
        a single night there costs more than {tens} {money}.
        {name} said that the {room} room was the best place to {do}.
        nobody was available to carry the {thing} to the attic.
        the owner of the hotel is a {job}, and {his} {kin} is a {job}.
        one guest sang all night, and the others could not sleep.
        the price of the {room} room went from {tens} to {tens}.
        the {room} room and the {room} room share a terrace.
        all guests from the {ride} had to wait for {n} hours.
        {name} has stayed in every room but the {room} room."""),
    "travel": _lines("""
        {name} took the {ride} to the {place} on {day}.
        the {ride} was late, so {name} arrived in the {time}.
        {name} will arrive on {day} with {n} {adj} bags.
        they will stay for {n} days in a town by the sea.
        our {ride} comes in at {n} on {day}.
        {name} and {other} were looking for the {place} all {time}.
        from {day} to {day} the {place} is closed.
        it took {n} hours to get from the {place} to the {place}.
        {name} lost {his} {small} on the {ride}.
        we are coming home on {day}, wrote {name}.
        "which way is the {place}?" asked {name}.
        "what kind of {ride} is that?" asked the {job}.
        "how many bridges will there be?" {name} asked {his} {kin}.
        the road to the {place} goes over a {adj} bridge.
        "hello," called {name} from the {ride}.
        "hi there," said a {job} at the {place}.
        on {day} the {ride} does not stop here.
        {name} visited the {place} and wrote a letter to {his} {kin}.
        "where will you be on {day}?" asked {other}.
        it is a long way, so please take a {small}."""),
    "weather": _lines("""
        it was a {weather} {time} in {season}.
        the {weather} weather will stay until {day}.
        on {day} it was {weather}, on {day} it was {weather}.
        after {n} {weather} days the sun came out.
        it is {weather} here, and the {place} is empty.
        {name} likes {weather} days best.
        {name} is happy when it is {weather}.
        rain fell on the {part} all {time}.
        in {season} the nights are cold.
        it has been a {weather} week, said the {job}.
        "could it be more {weather} than last {season}?" asked {name}.
        the wind took the {small} of the {job}.
        it would be nice to have a {weather} {day}.
        snow lay on the {place} for {n} weeks.
        the {animal} hid in the {part} from the storm.
        let me see the sky, said {name}."""),
    "food": _lines("""
        {name} made {food} for {n} people.
        the {food} was cold, but {name} ate it all.
        {name} bought {n} {fruit} and some {food} at the market.
        there were {tens} {fruit} in the basket.
        "would you like some {food}?" asked {name}.
        "thank you, that is enough," said {other}.
        "thanks," said {name} and took a pear.
        {his} {kin} cooks {food} every {day}.
        a bowl of {food} costs {n} {money}.
        "how much {food} is left?" asked the {job}.
        "what does the {food} cost?" asked {name}.
        the {food} with {fruit} would be best on a {weather} day.
        {name} needs {n} eggs, and {other} needs one more.
        we want {food} and {fruit}, said the children.
        "yes, please," said {name}.
        please give the {animal} some water.
        the {job} told us to make more {food}.
        "I would like to have the {fruit}," said {name}.
        there is nothing like {food} on a {weather} {time}.
        "all right, here is the {food}," said {other}."""),
    "family": _lines("""
        {name} has {n} cousins and one brother.
        my {kin} told me about the {place}.
        {his} {kin} is a {job} and likes to {do}.
        {name} and {his} {kin} {did} the {adj} {thing}.
        the family of {name} lives by the {place}.
        the twin of {name} is a {job}.
        {name} is so {mood} today.
        "would that be a {small}?" asked {name}.
        I am so {mood}, said {name}.
        "shall I help you with the {thing}?" asked {other}.
        "is that your {small}?" {name} asked {his} {kin}.
        "well," said {name}, "it is all the same to me."
        "oh, the {animal} is in the {part}!" called {other}.
        "good morning," said {name} to {his} {kin}.
        "good evening," said the {job}.
        {name} could not {do} before {he} went to school.
        {other} gave {him} a {adj} {small}.
        the children will {do} in the {part} on {day}.
        we have a {animal} and {n} {adj} chairs at home.
        {name} wants to {do}, but {his} {kin} wants to rest.
        my {kin} is {tens} and still likes to {do}."""),
    "work": _lines("""
        {name} is a {job} and starts at {n} in the morning.
        the {job} {did} a {adj} {thing} with a {tool}.
        on {day} {name} has to {do} for the {job}.
        {name} {speed} {did} the {thing} in the {part}.
        the {job} needs a {tool} and {n} boards.
        the {kind} pays {tens} {money} for {n} days.
        {name} used to {do}, but now {he} is a {job}.
        sure of {his} work, {name} put down the {tool}.
        the {tool} is on the right, next to the {thing}.
        {name} told the {job} about the {adj} {thing}.
        {n} {job}s are looking for a {adj} {kind}.
        the {job} was {mood} and went home.
        a {tool} does not cost much.
        "what does the {tool} do?" asked {name}.
        "so that is the {thing}," said the {job}.
        the {kind} will be closed from {day}.
        that {job} is right, and the other is wrong.
        you have to do it {speed}, said {name}.
        the {job} said yes, and {name} said no.
        {name} wants to thank the {job} for the {small}.
        nobody knows which {tool} is right."""),
    "numbers": _lines("""
        {n} and {n} are small numbers.
        the {thing} costs {tens} {money}, and the {small} costs {n}.
        {name} can count from one to {tens}.
        the price of {food} is {n1} or {n} {money}.
        {name} sold {tens} {fruit} for {n} {money}.
        {tens} is more than {tens} or it is less.
        only one of the {fruit} was good, and {n} were not.
        one {animal} and {n} {animal}s live at the {place}.
        the {kind} has {tens} chairs and {n} tables.
        {name} paid {tens} {money} for the {adj} {thing}.
        "how many {fruit} do you have?" asked {other}.
        {name} is the number {n1} in a row of {n}.
        every {day} {name} puts {n} coins in a box.
        page {n1} of the book is about the {place}.
        house {n1} is next to house {n}.
        "so {n} and {n} make more than one," said {name}."""),
    "words": _lines("""
        Customer: a person who buys something in a {kind}.
        Known: a thing that people have heard of.
        Guest: a person who comes to visit.
        Price: what a {thing} costs.
        Available: ready to be used, like a {tool}.
        Arrival: the time when a {ride} comes in.
        Free: not in use; also, without a price.
        Terrace: a flat place outside a house; attic: the room under its roof.
        Corner: where two walls come together.
        Twin: one of two children born on one {day}.
        Nothing: not one thing.
        Night: the dark time; nights are long in {season}.
        Hotel: a house with rooms for guests.
        the customer of the {kind} was {mood}.
        a customer bought {n} {fruit} and a {small}.
        not much is known about the {adj} {place}.
        the {adj} {thing} is not available in {season}.
        no, said the customer, the {small} is {adj}.
        yes means right; no means not right.
        the list says: {fruit}; {food}; one {thing}; {n} {fruit}.
        free seats: {n1}; price: {tens}; day: {day}."""),
    "town": _lines("""
        the {place} of our town is {adj}.
        {name} met {other} at the {place} on {day}.
        there is a {adj} {kind} in the corner of the {place}.
        {name} would like to visit the {place} in {season}.
        your town has a {place}, and my town has a {place}.
        the {place} is so {adj} that {n} people stay away.
        "could you tell the {job} about the {place}?" asked {name}.
        I need a {small}, and I want to book a seat on the {ride}.
        the {kind} is for families; nobody else is there.
        "do they have a {animal} at the {place}?" asked {other}.
        there will be a market on {day}.
        the {job} is booking a {ride} for the school.
        {name} went to the {place} to {do}.
        you will see the {adj} bridge from the {place}.
        at {n} the people of the town {speed} went home.
        give the {animal} to us, said the {job}.
        the people would come with {n} {animal}s to the {place}."""),
}
