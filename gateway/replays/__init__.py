"""What the replays of all forms of file share; each form has a folder beside it.

`tables` reads what is packed, finds the columns and names what is wrong;
`client` asks until there is an answer, `lanes` keep an account's order,
`business_days` and `registration` set the stage, `progress`, `report` and
`verdict` say what came of it.  Nothing here knows a form.
"""
