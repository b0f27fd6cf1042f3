"""The facts of the knowledge corpus: for each relation a table from subject to its one short answer.

They are chosen to be undisputed: no country between two continents, no capital or currency that is about to change.
"""

from __future__ import annotations


def _table(text: str) -> dict[str, str]:
    """Parse "subject=answer, subject=answer"."""
    table: dict[str, str] = {}
    for item in text.split(","):
        subject, answer = (" ".join(part.split()) for part in item.split("="))
        if subject in table:
            raise ValueError(f"{subject} is in a table of facts twice")
        table[subject] = answer
    return table


FACTS: dict[str, dict[str, str]] = {
    "capital": _table("""
        France=Paris, Germany=Berlin, Italy=Rome, Spain=Madrid, Portugal=Lisbon, Greece=Athens, Austria=Vienna,
        Hungary=Budapest, Poland=Warsaw, Sweden=Stockholm, Norway=Oslo, Finland=Helsinki, Denmark=Copenhagen,
        Ireland=Dublin, Iceland=Reykjavik, Belgium=Brussels, Romania=Bucharest, Bulgaria=Sofia, Croatia=Zagreb,
        Serbia=Belgrade, Slovenia=Ljubljana, Slovakia=Bratislava, Estonia=Tallinn, Latvia=Riga, Lithuania=Vilnius,
        Albania=Tirana, Malta=Valletta, Turkey=Ankara, Egypt=Cairo, Morocco=Rabat, Tunisia=Tunis, Algeria=Algiers,
        Libya=Tripoli, Kenya=Nairobi, Ghana=Accra, Nigeria=Abuja, Senegal=Dakar, Uganda=Kampala, Rwanda=Kigali,
        Zambia=Lusaka, Zimbabwe=Harare, Angola=Luanda, Namibia=Windhoek, Japan=Tokyo, China=Beijing, Nepal=Kathmandu,
        Thailand=Bangkok, Vietnam=Hanoi, Mongolia=Ulaanbaatar, Iran=Tehran, Iraq=Baghdad, Jordan=Amman, Lebanon=Beirut,
        Qatar=Doha, Oman=Muscat, Pakistan=Islamabad, Bangladesh=Dhaka, Canada=Ottawa, Cuba=Havana, Jamaica=Kingston,
        Peru=Lima, Chile=Santiago, Argentina=Buenos Aires, Uruguay=Montevideo, Brazil=Brasilia, Colombia=Bogota,
        Ecuador=Quito, Venezuela=Caracas, Paraguay=Asuncion, Australia=Canberra, New Zealand=Wellington, Fiji=Suva"""),
    "continent": _table("""
        France=Europe, Germany=Europe, Italy=Europe, Poland=Europe, Sweden=Europe, Norway=Europe, Finland=Europe,
        Ireland=Europe, Belgium=Europe, Hungary=Europe, Austria=Europe, Croatia=Europe, Romania=Europe,
        Morocco=Africa, Tunisia=Africa, Algeria=Africa, Libya=Africa, Kenya=Africa, Ghana=Africa, Nigeria=Africa,
        Senegal=Africa, Uganda=Africa, Rwanda=Africa, Zambia=Africa, Angola=Africa, Namibia=Africa,
        Japan=Asia, China=Asia, India=Asia, Nepal=Asia, Thailand=Asia, Vietnam=Asia, Mongolia=Asia, Iraq=Asia,
        Jordan=Asia, Pakistan=Asia, Bangladesh=Asia, Oman=Asia, Peru=South America, Chile=South America,
        Brazil=South America, Argentina=South America, Uruguay=South America, Ecuador=South America,
        Paraguay=South America, Canada=North America, Cuba=North America, Mexico=North America"""),
    "symbol": _table("""
        hydrogen=H, helium=He, lithium=Li, boron=B, carbon=C, nitrogen=N, oxygen=O, fluorine=F, neon=Ne, sodium=Na,
        magnesium=Mg, aluminium=Al, silicon=Si, phosphorus=P, sulfur=S, chlorine=Cl, argon=Ar, potassium=K, calcium=Ca,
        titanium=Ti, chromium=Cr, manganese=Mn, iron=Fe, cobalt=Co, nickel=Ni, copper=Cu, zinc=Zn, silver=Ag, tin=Sn,
        tungsten=W, platinum=Pt, gold=Au, mercury=Hg, lead=Pb, radon=Rn, radium=Ra, uranium=U, barium=Ba"""),
    "currency": _table("""
        France=euro, Germany=euro, Italy=euro, Spain=euro, Japan=yen, India=rupee, Pakistan=rupee, Nepal=rupee,
        China=yuan, Mexico=peso, Argentina=peso, Chile=peso, Canada=dollar, Australia=dollar, New Zealand=dollar,
        Jamaica=dollar, Switzerland=franc, Sweden=krona, Iceland=krona, Norway=krone, Denmark=krone, Poland=zloty,
        Hungary=forint, Turkey=lira, Thailand=baht, Vietnam=dong, South Korea=won, Brazil=real, Peru=sol,
        South Africa=rand, Kenya=shilling, Uganda=shilling, Nigeria=naira, Ghana=cedi, Egypt=pound, Morocco=dirham,
        Bangladesh=taka, Iraq=dinar, Jordan=dinar, Malaysia=ringgit, Indonesia=rupiah, Albania=lek, Angola=kwanza"""),
    "language": _table("""
        France=French, Germany=German, Austria=German, Italy=Italian, Spain=Spanish, Mexico=Spanish, Argentina=Spanish,
        Chile=Spanish, Cuba=Spanish, Portugal=Portuguese, Brazil=Portuguese, Poland=Polish, Hungary=Hungarian,
        Sweden=Swedish, Denmark=Danish, Norway=Norwegian, Iceland=Icelandic, Greece=Greek, Turkey=Turkish,
        Japan=Japanese, Thailand=Thai,
        Vietnam=Vietnamese, Egypt=Arabic, Jordan=Arabic, Romania=Romanian, Bulgaria=Bulgarian,
        Australia=English"""),
    "young": _table("""
        cat=kitten, dog=puppy, cow=calf, horse=foal, sheep=lamb, goat=kid, pig=piglet, hen=chick, duck=duckling,
        goose=gosling, swan=cygnet, deer=fawn, bear=cub, lion=cub, tiger=cub, frog=tadpole, kangaroo=joey, koala=joey,
        seal=pup, wolf=pup, bat=pup, owl=owlet, eagle=eaglet, hare=leveret, elephant=calf, whale=calf, giraffe=calf,
        eel=elver, pigeon=squab, donkey=foal, zebra=foal, spider=spiderling, llama=cria, penguin=chick"""),
    "planet": _table("""
        first=Mercury, second=Venus, third=Earth, fourth=Mars, fifth=Jupiter, sixth=Saturn, seventh=Uranus,
        eighth=Neptune"""),
    "month after": _table("""
        January=February, February=March, March=April, April=May, May=June, June=July, July=August, August=September,
        September=October, October=November, November=December, December=January"""),
    "day after": _table("""
        Monday=Tuesday, Tuesday=Wednesday, Wednesday=Thursday, Thursday=Friday, Friday=Saturday, Saturday=Sunday,
        Sunday=Monday"""),
    "days": _table("""
        January=thirty-one, March=thirty-one, April=thirty, May=thirty-one, June=thirty, July=thirty-one,
        August=thirty-one, September=thirty, October=thirty-one, November=thirty, December=thirty-one"""),
    "legs": _table("""
        spider=eight, scorpion=eight, tick=eight, beetle=six, fly=six, moth=six, wasp=six, mosquito=six, horse=four,
        cow=four, dog=four, goat=four, hen=two, duck=two, penguin=two, crab=ten, lobster=ten"""),
    "sides": _table("""
        triangle=three, square=four, rectangle=four, rhombus=four, pentagon=five, hexagon=six, heptagon=seven,
        octagon=eight, nonagon=nine, decagon=ten, parallelogram=four"""),
    "count": _table("""
        days in a week=seven, months in a year=twelve, hours in a day=twenty-four, minutes in an hour=sixty,
        seconds in a minute=sixty, eggs in a dozen=twelve, years in a decade=ten, years in a century=one hundred,
        strings on a violin=four, strings on a cello=four, squares on a chessboard=sixty-four,
        keys on a full piano=eighty-eight, centimetres in a metre=one hundred, metres in a kilometre=one thousand,
        grams in a kilogram=one thousand, inches in a foot=twelve, feet in a yard=three, wheels on a bicycle=two,
        letters in the English alphabet=twenty-six, chambers in the human heart=four,
        planets in our solar system=eight,
        days in a leap year=three hundred and sixty-six"""),
    "author": _table("""
        Hamlet=Shakespeare, Macbeth=Shakespeare, Othello=Shakespeare, Emma=Austen, Persuasion=Austen,
        Oliver Twist=Dickens, Great Expectations=Dickens, War and Peace=Tolstoy, Anna Karenina=Tolstoy,
        Don Quixote=Cervantes, Faust=Goethe, The Divine Comedy=Dante, Moby Dick=Melville, Dracula=Stoker, Ulysses=Joyce,
        Animal Farm=Orwell, The Trial=Kafka, Madame Bovary=Flaubert, Candide=Voltaire, Treasure Island=Stevenson,
        Peter Pan=Barrie, Walden=Thoreau, The Iliad=Homer, The Odyssey=Homer, The Aeneid=Virgil, The Raven=Poe,
        Little Women=Alcott, The Hobbit=Tolkien, Robinson Crusoe=Defoe, Crime and Punishment=Dostoevsky,
        The Cherry Orchard=Chekhov, Middlemarch=Eliot, Vanity Fair=Thackeray, Ivanhoe=Scott"""),
    "river": _table("""
        London=Thames, Paris=Seine, Cairo=Nile, Vienna=Danube, Budapest=Danube, Belgrade=Danube, Rome=Tiber,
        Dublin=Liffey, Lisbon=Tagus, Prague=Vltava, Warsaw=Vistula, Baghdad=Tigris, Florence=Arno, Cologne=Rhine,
        Basel=Rhine, Hamburg=Elbe, Dresden=Elbe, Bordeaux=Garonne, Porto=Douro, Seville=Guadalquivir, Turin=Po,
        Glasgow=Clyde, Liverpool=Mersey, New Orleans=Mississippi"""),
}
