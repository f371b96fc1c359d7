"""What the bank says of direct debits, from its file to the repayments.

reader   lines of the file, and what is wrong with the others
sending  the commands of the lines, in bulk, until each has an answer
outcome  what came of them, counted, in words and as JSON
"""
