"""What is particular to nefertari_mongodb: MongoDB through MongoEngine as primary."""
